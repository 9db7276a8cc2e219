//! Numbers and text in pickles.

use super::super::super::tree::Value;
use super::machine::Machine;
use super::opcode::Opcode;
use super::{Refusal, integer};

impl Machine<'_> {
    pub(super) fn number(&mut self, opcode: Opcode) -> Result<(), Refusal> {
        let value = match opcode {
            Opcode::BININT1 => {
                let number = self.input.byte()?;
                return self.small(number);
            }
            Opcode::BININT2 => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            Opcode::BININT => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            Opcode::LONG1 => integer::from_bytes(self.input.counted::<1>()?)?,
            Opcode::LONG4 => integer::from_bytes(self.input.counted::<4>()?)?,
            Opcode::BINFLOAT => Value::Float(f64::from_be_bytes(self.input.array()?)),
            Opcode::FLOAT => {
                let line = self.input.line()?;
                Value::Float(line.parse().map_err(|_| Refusal::Damaged(format!("{line:?} is no number")))?)
            }
            // Protocol 0 has truth values as these two integers.
            _ => match self.input.line()? {
                "00" if opcode == Opcode::INT => return self.push(self.truths[0]),
                "01" if opcode == Opcode::INT => return self.push(self.truths[1]),
                line => integer::from_text(line)?,
            },
        };
        self.push_new(value)
    }

    pub(super) fn small(&mut self, number: u8) -> Result<(), Refusal> {
        let place = match self.small[usize::from(number)] {
            Some(place) => place,
            None => self.add(Value::Int(number.into()))?,
        };
        self.small[usize::from(number)] = Some(place);
        self.push(place)
    }

    pub(super) fn string(&mut self, opcode: Opcode) -> Result<(), Refusal> {
        let value = match opcode {
            Opcode::BINUNICODE => Value::Text(self.input.text::<4>()?),
            Opcode::SHORT_BINUNICODE => Value::Text(self.input.text::<1>()?),
            Opcode::BINUNICODE8 => Value::Text(self.input.text::<8>()?),
            Opcode::UNICODE => Value::Text(unescaped(&self.input.latin_line()?, &[])?),
            Opcode::BINBYTES => Value::Bytes(self.input.counted::<4>()?.to_vec()),
            Opcode::SHORT_BINBYTES => Value::Bytes(self.input.counted::<1>()?.to_vec()),
            Opcode::BINBYTES8 | Opcode::BYTEARRAY8 => Value::Bytes(self.input.counted::<8>()?.to_vec()),
            Opcode::BINSTRING => text_or_bytes(self.input.counted::<4>()?),
            Opcode::SHORT_BINSTRING => text_or_bytes(self.input.counted::<1>()?),
            _ => Value::Text(unescaped(unquoted(&self.input.latin_line()?)?, ESCAPES)?),
        };
        self.push_new(value)
    }
}

/// Python 2 had one type for text and bytes.
fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_) => Value::Bytes(bytes.to_vec()),
    }
}

fn unquoted(line: &str) -> Result<&str, Refusal> {
    let inner = |quote| line.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).ok_or_else(|| Refusal::Damaged("a string without quotes".to_owned()))
}

/// Letters after a backslash, and their characters, in quoted text.
const ESCAPES: &[(char, char)] = &[('n', '\n'), ('r', '\r'), ('t', '\t'), ('\\', '\\'), ('\'', '\''), ('"', '"')];

/// Resolves the escapes that protocol 0 writes: by number, and those of `letters`. Other backslashes stay.
fn unescaped(line: &str, letters: &[(char, char)]) -> Result<String, Refusal> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let digits = match after.chars().next() {
            Some('x') if !letters.is_empty() => 2,
            Some('u') => 4,
            Some('U') => 8,
            letter => {
                let found = letters.iter().find(|(from, _)| Some(*from) == letter);
                text.push(found.map_or('\\', |(_, character)| *character));
                rest = after.get(usize::from(found.is_some())..).unwrap_or_default();
                continue;
            }
        };
        let code = after.get(1..=digits).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| Refusal::Damaged("an escape in text without digits".to_owned()))?;
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = after.get(1 + digits..).unwrap_or_default();
    }
    text.push_str(rest);
    Ok(text)
}
