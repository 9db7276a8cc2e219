//! Paths in configurations: relative to the file that holds them, so that a project can be moved as a whole.
//!
//! No path leads from an object store to a file here. What a configuration at a URL names is relative to the working
//! directory where it lies in it, and else absolute.

use std::path::{Component, Path, PathBuf};

use crate::store;

/// `path`, or `folder` joined with it where it is relative, without `.` and `..` in it as far as the file system
/// can tell.
pub(crate) fn absolute(path: &Path, folder: &Path) -> PathBuf {
    let folder = if store::is_url(folder) { Path::new("") } else { folder };
    // An empty path is the working directory, which `std::path::absolute` refuses to say.
    let joined = Path::new(".").join(folder).join(path);
    let joined = std::path::absolute(&joined).unwrap_or(joined);
    joined.canonicalize().unwrap_or(joined)
}

/// How to get from `folder` to `path`.
pub(super) fn relative(path: &Path, folder: &Path) -> PathBuf {
    if store::is_url(folder) {
        let (path, here) = (absolute(path, Path::new("")), absolute(Path::new(""), Path::new("")));
        return path.strip_prefix(here).map(Path::to_owned).unwrap_or(path);
    }
    let (path, folder) = (absolute(path, Path::new("")), absolute(folder, Path::new("")));
    let shared = path.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return path;
    }
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_path_is_the_working_directory() {
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(absolute(Path::new(""), Path::new("")), here);
    }

    #[test]
    fn a_configuration_at_a_url_starts_from_the_working_directory() {
        let (url, here) = (Path::new("s3://bucket/run"), absolute(Path::new(""), Path::new("")));
        assert_eq!(relative(&here.join("data/x.csv"), url), Path::new("data/x.csv"));
        assert_eq!(absolute(Path::new("data/x.csv"), url), here.join("data/x.csv"));
        assert_eq!(relative(Path::new("/elsewhere/x.csv"), url), Path::new("/elsewhere/x.csv"));
    }

    #[test]
    fn relative_and_absolute_are_inverse() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("runs/one")).unwrap();
        std::fs::create_dir(root.join("data")).unwrap();
        std::fs::write(root.join("data/x.csv"), "").unwrap();
        let relative = relative(&root.join("data/x.csv"), &root.join("runs/one"));
        assert_eq!(relative, Path::new("../../data/x.csv"));
        assert_eq!(absolute(&relative, &root.join("runs/one")), root.join("data/x.csv"));
    }
}
