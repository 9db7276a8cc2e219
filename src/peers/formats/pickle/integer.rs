//! Integers of any length, as pickles have them: little-endian in two's complement, or decimal text.

use super::super::super::tree::Value;

/// Longest integer in bytes; its decimal text takes a time that grows with the square of its length.
const LONGEST: usize = 1024;

/// Returns an integer of any length, little-endian in two's complement.
///
/// # Errors
/// It is longer than any that a checkpoint needs.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<Value, String> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    if bytes.len() <= 8 {
        let mut whole = [if negative { 0xff } else { 0 }; 8];
        whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        return Ok(Value::Int(i64::from_le_bytes(whole)));
    }
    if bytes.len() > LONGEST {
        return Err(format!("an integer of {} bytes; the longest that is read has {LONGEST}", bytes.len()));
    }
    let mut limbs = magnitude(bytes, negative);
    let digits = decimal(&mut limbs);
    let text = if negative { format!("-{digits}") } else { digits };
    // Python may have used more bytes than were needed.
    Ok(text.parse().map_or(Value::BigInt(text), Value::Int))
}

/// Returns the absolute value in limbs of 32 bits, the lowest first.
fn magnitude(bytes: &[u8], negative: bool) -> Vec<u32> {
    let mut carry = negative;
    let mut limbs = Vec::with_capacity(bytes.len() / 4 + 1);
    for chunk in bytes.chunks(4) {
        let mut whole = [if negative { 0xff } else { 0 }; 4];
        whole.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        let limb = u32::from_le_bytes(whole);
        if negative {
            let (turned, overflow) = (!limb).overflowing_add(u32::from(carry));
            carry = overflow;
            limbs.push(turned);
        } else {
            limbs.push(limb);
        }
    }
    limbs
}

/// Divides by 10^9 until nothing is left, and returns the digits.
fn decimal(limbs: &mut Vec<u32>) -> String {
    const BILLION: u64 = 1_000_000_000;
    let mut groups = Vec::new();
    while !limbs.is_empty() {
        let mut rest = 0u64;
        for limb in limbs.iter_mut().rev() {
            let dividend = (rest << 32) | u64::from(*limb);
            *limb = (dividend / BILLION) as u32;
            rest = dividend % BILLION;
        }
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        groups.push(rest);
    }
    let mut digits = groups.pop().map_or_else(|| "0".to_owned(), |group| group.to_string());
    groups.iter().rev().for_each(|group| digits.push_str(&format!("{group:09}")));
    digits
}

/// Returns an integer in decimal text, as protocol 0 has it; a long one ends with `L`.
///
/// # Errors
/// It is no integer, or too long.
pub(super) fn from_text(text: &str) -> Result<Value, String> {
    let digits = text.strip_suffix('L').unwrap_or(text);
    if let Ok(value) = digits.parse() {
        return Ok(Value::Int(value));
    }
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    if unsigned.is_empty() || unsigned.len() > 3 * LONGEST || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a number in text that is no integer".to_owned());
    }
    Ok(Value::BigInt(digits.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        match from_bytes(bytes).unwrap() {
            Value::Int(value) => value.to_string(),
            Value::BigInt(digits) => format!("big {digits}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn integers_of_any_length_keep_their_sign_and_all_digits() {
        assert_eq!(text(&[]), "0");
        assert_eq!(text(&[0xff]), "-1");
        assert_eq!(text(&[0xff, 0]), "255");
        assert_eq!(text(&[0x00, 0x80]), "-32768");
        assert_eq!(text(&[0, 0, 0, 0, 0, 0, 0, 0x80]), i64::MIN.to_string());
        assert_eq!(text(&[5, 0, 0, 0, 0, 0, 0, 0x80, 0]), "big 9223372036854775813");
        assert_eq!(text(&[0, 0, 0, 0, 0, 0, 0, 0, 0x40]), "big 1180591620717411303424");
        assert_eq!(text(&[0, 0, 0, 0, 0, 0, 0, 0, 0xc0]), "big -1180591620717411303424");
        assert_eq!(text(&[7, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "7");
        let mut lowest = vec![0; 16];
        lowest[15] = 0x80;
        assert_eq!(text(&lowest), format!("big {}", i128::MIN));
        assert_eq!(text(&i128::MAX.to_le_bytes()), format!("big {}", i128::MAX));
        assert!(from_bytes(&[1; 1025]).unwrap_err().contains("1025 bytes"));
    }

    #[test]
    fn integers_in_text_are_digits_and_nothing_else() {
        assert!(matches!(from_text("-12L"), Ok(Value::Int(-12))));
        assert!(matches!(from_text("99999999999999999999"), Ok(Value::BigInt(_))));
        for bad in ["", "-", "1e5", "0x5", "12 "] {
            assert!(from_text(bad).is_err(), "{bad:?}");
        }
    }
}
