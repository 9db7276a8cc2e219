//! JSON as Python writes it: with `NaN`, `Infinity` and `-Infinity`, and integers of any length.

use std::path::Path;

use super::super::error::PeerError;
use super::super::tree::{Place, Tree, Value};

/// Most lists and objects within each other.
const DEEPEST: usize = 200;

/// Largest file that is read; the state of a trainer has some MB after a million logged steps.
const LARGEST: u64 = 1 << 30;

/// Reads a file.
///
/// # Errors
/// It is not there, or no JSON; the message has the place.
pub fn read(path: &Path) -> Result<Tree, PeerError> {
    let io = |error| PeerError::io(path, error);
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > LARGEST {
        return Err(PeerError::unsupported(path, format!("JSON of {size} bytes; up to {LARGEST} are read")));
    }
    parse(&std::fs::read(path).map_err(io)?).map_err(|what| PeerError::damaged(path, format!("JSON: {what}")))
}

/// Reads text.
///
/// # Errors
/// It is no JSON; the message has the place.
pub fn parse(bytes: &[u8]) -> Result<Tree, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("byte {}: no text", error.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser { text, place: 0, tree: Tree::default() };
    let root = parser.value(0).and_then(|root| parser.end().map(|()| root));
    let root = root.map_err(|what| format!("byte {}: {what}", parser.place))?;
    parser.tree.set_root(root);
    Ok(parser.tree)
}

struct Parser<'a> {
    text: &'a str,
    place: usize,
    tree: Tree,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.place..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.place += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn takes(&mut self, word: &str) -> bool {
        let taken = self.rest().starts_with(word);
        self.place += if taken { word.len() } else { 0 };
        taken
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        self.skip_space();
        if self.takes(word) { Ok(()) } else { Err(format!("{word:?} is expected")) }
    }

    fn end(&mut self) -> Result<(), String> {
        self.skip_space();
        if self.rest().is_empty() { Ok(()) } else { Err("something follows the value".to_owned()) }
    }

    fn value(&mut self, depth: usize) -> Result<Place, String> {
        self.skip_space();
        let value = match self.rest().bytes().next() {
            Some(b'{' | b'[') if depth >= DEEPEST => {
                return Err(format!("more than {DEEPEST} lists and objects within each other"));
            }
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.text()?),
            Some(_) => self.word()?,
            None => return Err("it ends before a value; it is cut off".to_owned()),
        };
        self.tree.add(value)
    }

    fn word(&mut self) -> Result<Value, String> {
        for (word, value) in [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ] {
            if self.takes(word) {
                return Ok(value);
            }
        }
        self.number()
    }

    fn number(&mut self) -> Result<Value, String> {
        let rest = self.rest();
        let length = rest.find(|letter: char| !matches!(letter, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
        let number = &rest[..length.unwrap_or(rest.len())];
        let digits = number.strip_prefix('-').unwrap_or(number);
        let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let value = match number.parse() {
            Ok(value) if whole => Value::Int(value),
            _ if whole => Value::BigInt(number.to_owned()),
            _ if digits.starts_with(|letter: char| letter.is_ascii_digit()) => {
                Value::Float(number.parse().map_err(|_| format!("{number:?} is no number"))?)
            }
            _ => return Err("no value of JSON".to_owned()),
        };
        self.place += number.len();
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        self.expect("[")?;
        self.skip_space();
        if self.takes("]") {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.takes("]") {
                return Ok(Value::List(items));
            }
            self.expect(",")?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        let mut entries = Vec::new();
        self.expect("{")?;
        self.skip_space();
        if self.takes("}") {
            return Ok(Value::Dict(entries));
        }
        loop {
            self.skip_space();
            let key = self.text()?;
            let key = self.tree.add(Value::Text(key))?;
            self.expect(":")?;
            entries.push((key, self.value(depth + 1)?));
            self.skip_space();
            if self.takes("}") {
                return Ok(Value::Dict(entries));
            }
            self.expect(",")?;
        }
    }

    fn text(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let length = rest.find(['"', '\\']).ok_or("text without an end; it is cut off")?;
            text.push_str(&rest[..length]);
            self.place += length;
            if self.takes("\"") {
                return Ok(text);
            }
            self.place += 1;
            text.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let letter = self.rest().chars().next().ok_or("text without an end; it is cut off")?;
        self.place += letter.len_utf8();
        Ok(match letter {
            '"' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.unicode()?,
            _ => return Err(format!("{letter:?} is no escape")),
        })
    }

    /// A character as four digits; one beyond them is two of these.
    fn unicode(&mut self) -> Result<char, String> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) || !self.takes("\\u") {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let second = self.four_digits()?;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
        let code = low.map(|low| 0x10000 + ((first - 0xd800) << 10) + low);
        Ok(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Result<u32, String> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or("an escape without four digits")?;
        self.place += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_no_json_are_read_as_python_writes_them() {
        let tree = parse(br#"{"a": NaN, "b": [-Infinity, Infinity, 1e3, -7], "c": 1180591620717411303424}"#).unwrap();
        let root = tree.root();
        assert!(root.get("a").unwrap().number().unwrap().is_nan());
        assert_eq!(root.get("b").unwrap().numbers().unwrap(), [f64::NEG_INFINITY, f64::INFINITY, 1000.0, -7.0]);
        assert!(matches!(root.get("c").unwrap().value(), Value::BigInt(digits) if digits == "1180591620717411303424"));
    }

    #[test]
    fn text_is_unescaped_and_the_order_of_keys_kept() {
        let tree =
            parse(r#" {"z":"a\u00e9\n\ud83d\ude00\"/é", "a":[], "m":{}, "t":true, "n":null} "#.as_bytes()).unwrap();
        let keys: Vec<_> = tree.root().entries().unwrap().map(|(key, _)| key.text().unwrap().to_owned()).collect();
        assert_eq!(keys, ["z", "a", "m", "t", "n"]);
        assert_eq!(tree.root().get("z").unwrap().text(), Some("aé\n😀\"/é"));
    }

    #[test]
    fn text_that_is_no_json_is_refused_with_the_place() {
        for bad in [
            "",
            "{",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{1:2}",
            "01x",
            "nul",
            "\"\\x\"",
            "\"\\u12g4\"",
            "1 2",
            "--1",
            "+1",
            ".5",
            "-",
        ] {
            let error = parse(bad.as_bytes()).unwrap_err();
            assert!(error.starts_with("byte "), "{bad:?}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).unwrap_err().contains("within each other"));
        assert!(parse(b"\"\xff\"").unwrap_err().contains("no text"));
    }
}
