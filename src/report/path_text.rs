//! Paths in JSON. A path may be no text, and JSON has only text.

use std::path::Path;

use serde::Serializer;

/// Writes a path as text in which a sign stands for what is no text, as messages do. For `serde(serialize_with)`.
pub fn path_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
