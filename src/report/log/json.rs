//! How far a JSON value in a line of a log goes: a number, a word, a text, or a list of numbers and words.

/// Returns the length of the value at the beginning of `text`.
pub(super) fn length_of_value(text: &[u8]) -> Option<usize> {
    match text {
        [b'[', b']', ..] => Some(2),
        [b'[', items @ ..] => length_of_list(items).map(|length| 1 + length),
        [b'"', rest @ ..] => {
            let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            (rest.get(end) == Some(&b'"')).then_some(end + 2)
        }
        text => length_of_plain(text),
    }
}

/// Returns the length of the elements of a list, with its end.
fn length_of_list(items: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += length_of_plain(items.get(at..)?)?;
        match items.get(at)? {
            b',' => at += 1,
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// Returns the length of the number or word at the beginning of `text`.
fn length_of_plain(text: &[u8]) -> Option<usize> {
    let word = || [&b"true"[..], b"false", b"null"].into_iter().find(|word| text.starts_with(word)).map(<[u8]>::len);
    length_of_number(text).or_else(word)
}

/// Returns the length of the number at the beginning of `text`.
pub(super) fn length_of_number(text: &[u8]) -> Option<usize> {
    match text {
        [b'0'..=b'9', rest @ ..] => Some(1 + length_of_rest(rest)),
        [b'-', b'0'..=b'9', rest @ ..] => Some(2 + length_of_rest(rest)),
        _ => None,
    }
}

/// Returns the length of the part of a number after its first digit.
fn length_of_rest(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += text.get(at..).map_or(0, count_of_digits);
        match text.get(at) {
            Some(b'-' | b'+' | b'e' | b'E') => at += 1,
            _ => return at,
        }
    }
}

/// Returns the number of digits and decimal points at the beginning of `text`, of which it looks at sixteen at once.
fn count_of_digits(text: &[u8]) -> usize {
    let mut count = 0;
    while let Some(sixteen) = text.get(count..).and_then(<[u8]>::first_chunk) {
        match digits_in(sixteen) {
            16 => count += 16,
            found => return count + found,
        }
    }
    let rest = text.get(count..).unwrap_or_default();
    count + rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.')).unwrap_or(rest.len())
}

/// Returns the number of digits and decimal points at the beginning of `text`.
#[cfg(target_arch = "x86_64")]
fn digits_in(text: &[u8; 16]) -> usize {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8, _mm_sub_epi8,
    };
    #[target_feature(enable = "sse2")]
    fn found(bytes: __m128i) -> i32 {
        // A digit becomes a number up to 9, and every other byte a larger one.
        let numbers = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
        let digits = _mm_cmpeq_epi8(_mm_min_epu8(numbers, _mm_set1_epi8(9)), numbers);
        let points = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'.' as i8));
        _mm_movemask_epi8(_mm_or_si128(digits, points))
    }
    // SAFETY: SSE2 is a part of x86-64, so every processor that runs this has it.
    unsafe { found(bytemuck::cast(*text)) }.trailing_ones() as usize
}

/// Returns the number of digits and decimal points at the beginning of `text`.
#[cfg(not(target_arch = "x86_64"))]
fn digits_in(text: &[u8; 16]) -> usize {
    text.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.')).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_ends_before_the_first_byte_that_is_in_none() {
        for number in ["0", "12345678", "123456789012345678901234567890", "-0.1", "1.2345678e-10", "2E+7"] {
            for after in [0, b',', b'}', b'/', b':', b' ', b'\n', b'a', 0x7f, 0x80, 0xb0, 0xb9, 0xff] {
                // Bytes that look like digits must not be taken for some of it.
                let text = [number.as_bytes(), &[after], b"0123456789"].concat();
                assert_eq!(length_of_number(&text), Some(number.len()), "{number} {after}");
                assert_eq!(length_of_number(number.as_bytes()), Some(number.len()), "{number}");
            }
        }
        for other in ["", "-", "-a", ".5", "+1", "e", "null"] {
            assert_eq!(length_of_number(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_value_is_a_number_a_word_a_text_or_a_list() {
        for value in ["1", "null", "true", "false", "\"a,1]\"", "\"\"", "[]", "[1]", "[1,-2e-7,null]"] {
            assert_eq!(length_of_value(format!("{value},\"").as_bytes()), Some(value.len()), "{value}");
        }
        for other in ["", "nul", "\"a", "\"a\\\"\"", "[", "[1", "[1,", "[1,]", "[[1]]", "[\"a\"]", "{}"] {
            assert_eq!(length_of_value(other.as_bytes()), None, "{other}");
        }
    }
}
