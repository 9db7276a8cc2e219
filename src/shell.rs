//! Words of a command that a user copies into a shell.

use std::path::Path;

/// Formats `text` as one word of a command, in quotes if the shell would interpret it.
///
/// ```
/// assert_eq!(rekindle::shell::word("runs/a b"), "'runs/a b'");
/// ```
pub fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Formats a path as one word of a command. A path that begins with a dash would be taken for an option, so it is
/// prefixed with `./`.
pub fn path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with('-') { word(&format!("./{text}")) } else { word(&text) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_printed_is_what_a_shell_reads() {
        for text in
            ["runs/a", "a b", "it's", "$HOME", "a\"b", "*", "~", "a;b", "a\\b", "é", "", "(1)", "a\nb", "#a", "…"]
        {
            let command = format!("printf %s {}", word(text));
            let output = Command::new("sh").arg("-c").arg(command).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn a_plain_path_is_not_changed_and_none_is_an_option() {
        let shown = ["runs/a-1.x", "s3://b/run", "-x", "- y"].map(|text| path(Path::new(text)));
        assert_eq!(shown, ["runs/a-1.x", "s3://b/run", "./-x", "'./- y'"]);
    }
}
