//! Paths in configurations: relative to the configuration file, so that a project can be moved as a whole.
//!
//! URLs are never changed. Paths of local files cannot be relative to an object store. In a configuration at a URL they
//! are relative to the working directory if they are inside it, otherwise absolute.

use std::path::{Component, Path, PathBuf};

use crate::store;

/// Returns `path`, or `folder` joined with it if it is relative, without `.` and `..` as far as the file system can
/// resolve them. Links keep their own names: their target may change, and its name may be meaningless. Only the part
/// before a `..` is resolved, because the parent of a link's target is not that of the link.
pub(crate) fn absolute(path: &Path, folder: &Path) -> PathBuf {
    if store::is_url(path) {
        return path.to_owned();
    }
    let folder = if store::is_url(folder) { Path::new("") } else { folder };
    // An empty path is the working directory, which `std::path::absolute` refuses.
    let joined = Path::new(".").join(folder).join(path);
    let joined = std::path::absolute(&joined).unwrap_or(joined);
    let parts: Vec<Component> = joined.components().collect();
    let Some(last_up) = parts.iter().rposition(|part| *part == Component::ParentDir) else { return joined };
    let above: PathBuf = parts[..=last_up].iter().collect();
    above.canonicalize().map_or(joined.clone(), |above| above.join(parts[last_up + 1..].iter().collect::<PathBuf>()))
}

/// Returns the path from `folder` to `path`: up to their common parent, and from there on as `path` was given.
pub fn relative(path: &Path, folder: &Path) -> PathBuf {
    if store::is_url(path) {
        return path.to_owned();
    }
    let path = absolute(path, Path::new(""));
    if store::is_url(folder) {
        let here = absolute(Path::new(""), Path::new(""));
        return path.strip_prefix(here).map(Path::to_owned).unwrap_or(path);
    }
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = real(&absolute(folder, Path::new("")));
    let found = path.ancestors().map(|above| (above, real(above))).find(|(_, above)| folder.starts_with(above));
    let Some((typed, shared)) = found else { return path };
    let up = folder.components().skip(shared.components().count()).map(|_| Component::ParentDir);
    up.chain(path.components().skip(typed.components().count())).collect()
}

/// Where the paths of a configuration in a checkpoint start, unless that is a URL: the run directory, which for
/// `RUN/checkpoints/step-…` is `RUN`, and for a folder of checkpoints on its own is that folder.
pub(crate) fn base_of(checkpoint: &Path) -> PathBuf {
    let folder = checkpoint.parent().unwrap_or(checkpoint);
    match folder.parent() {
        Some(run) if folder.file_name().is_some_and(|name| name == "checkpoints") => run.to_owned(),
        _ => folder.to_owned(),
    }
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
        let data = Path::new("s3://bucket/shard-*.safetensors");
        assert_eq!((absolute(data, &here), relative(data, &here)), (data.to_owned(), data.to_owned()));
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

    /// Links on the way to a file, before it, and as the project folder.
    #[cfg(unix)]
    #[test]
    fn links_are_recorded_as_they_were_typed() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, real.join(name)).unwrap();
        std::fs::create_dir_all(real.join("project/runs/one")).unwrap();
        std::fs::create_dir_all(real.join("project/v3/deep")).unwrap();
        std::fs::write(real.join("project/v3/blob"), "").unwrap();
        link("v3", "project/current");
        link("blob", "project/v3/x.csv");
        link("project/v3/deep", "elsewhere");
        link("project", "nickname");
        for root in [real.join("project"), real.join("nickname")] {
            let run = root.join("runs/one");
            for typed in ["current/x.csv", "v3/x.csv", "current/none.csv"] {
                assert_eq!(absolute(Path::new(typed), &root), root.join(typed));
                assert_eq!(relative(&root.join(typed), &run), Path::new("../..").join(typed));
                assert_eq!(absolute(&relative(&root.join(typed), &run), &run), real.join("project").join(typed));
            }
        }
        // The parent of a link is that of its target.
        assert_eq!(absolute(Path::new("elsewhere/../x.csv"), &real), real.join("project/v3/x.csv"));
    }
}
