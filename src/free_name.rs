//! Names that are not taken, so that nothing is overwritten.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

/// `path`, or where that is there `path-2`, `path-3` and so on.
pub fn of(path: &Path) -> PathBuf {
    let Ok(free) = numbered(path, |path| Ok::<_, Infallible>(path.exists()));
    free
}

/// `path`, or where that is taken `path-2`, `path-3` and so on, as `is_taken` says.
///
/// # Errors
/// That of `is_taken`.
pub fn numbered<E>(path: &Path, is_taken: impl Fn(&Path) -> Result<bool, E>) -> Result<PathBuf, E> {
    let name = |number| match number {
        1 => path.to_owned(),
        number => PathBuf::from(format!("{}-{number}", path.display())),
    };
    first(name, is_taken).map(|(_, path)| path)
}

/// The first `name` of a number from 1 up that is not taken, and the number.
///
/// # Errors
/// That of `is_taken`.
pub fn first<E>(
    name: impl Fn(u64) -> PathBuf,
    is_taken: impl Fn(&Path) -> Result<bool, E>,
) -> Result<(u64, PathBuf), E> {
    let mut number = 1;
    loop {
        let path = name(number);
        if !is_taken(&path)? {
            return Ok((number, path));
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_is_not_taken_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("a.b");
        for name in ["a.b", "a.b-2", "a.b-3"] {
            assert_eq!(of(&base), folder.path().join(name));
            std::fs::write(of(&base), "").unwrap();
        }
        assert_eq!(numbered(&base, |_| Err::<bool, _>("no answer")), Err("no answer"));
    }
}
