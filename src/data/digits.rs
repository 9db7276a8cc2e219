//! Numbers in plain notation, such as `-12.5`, parsed while the end of their field is found.
//!
//! Most cells of a table are such numbers. One with at most 15 digits is a whole number below 2^53 over a power of ten up
//! to 10^15. Both are exact in 64 bits, so that their quotient is the nearest number, which is what the standard library
//! returns (William Clinger, "How to Read Floating Point Numbers Accurately", 1990). All others are left to it.

/// Most digits of a whole number that is certainly below 2^53.
const MOST_DIGITS: usize = 15;

const POWERS: [f64; MOST_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Parses the number at the beginning of `text`, with `point` before its fraction, and returns it with its length. What
/// follows is not examined. `None` if it is written in another way.
#[inline]
pub(super) fn number(text: &[u8], point: u8) -> Option<(f64, usize)> {
    let negative = usize::from(*text.first()? == b'-');
    let (mut at, mut whole) = (negative, 0);
    take_digits(text, &mut at, &mut whole);
    let (mut digits, mut behind) = (at - negative, 0);
    if text.get(at) == Some(&point) {
        let start = at + 1;
        at = start;
        take_eight(text, &mut at, &mut whole);
        behind = at - start;
        digits += behind;
        if behind == 0 {
            return None;
        }
    }
    if digits == 0 || digits > MOST_DIGITS {
        return None;
    }
    let size = whole as i64 as f64 / POWERS.get(behind)?;
    // Without a branch, because no processor can predict the signs of data.
    Some((f64::from_bits(size.to_bits() | (negative as u64) << 63), at))
}

/// Appends the digits at a place to a whole number, which is meaningless after more than [`MOST_DIGITS`].
#[inline]
fn take_digits(text: &[u8], at: &mut usize, whole: &mut u64) {
    while let Some(digit) = text.get(*at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        *whole = whole.wrapping_mul(10).wrapping_add(digit.into());
        *at += 1;
    }
}

/// Does the same with eight bytes at once, for digits whose number is hard to predict.
#[inline]
fn take_eight(text: &[u8], at: &mut usize, whole: &mut u64) {
    const TENS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let Some(eight) = text.get(*at..).and_then(|rest| rest.first_chunk::<8>()) else {
        return take_digits(text, at, whole);
    };
    let eight = u64::from_le_bytes(*eight);
    let count = leading_digits(eight);
    // Zeros take the place of the digits that are not there, before the others.
    let digits = eight.checked_shl(64 - 8 * count).unwrap_or(0);
    *whole = whole.wrapping_mul(TENS[count as usize]).wrapping_add(value(digits));
    *at += count as usize;
    if count == 8 {
        take_digits(text, at, whole);
    }
}

/// Returns how many of eight bytes, from the lowest on, are digits before the first other byte.
#[inline]
fn leading_digits(eight: u64) -> u32 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The first sum reaches the highest bit of a byte above `9`, the second below `0` and far above `9`. A carry comes only
    // from a byte that is no digit, so that the lowest mark is right.
    let marks = (eight.wrapping_add(0x46 * EACH) | eight.wrapping_sub(0x30 * EACH)) & (0x80 * EACH);
    marks.trailing_zeros() / 8
}

/// Returns the number that eight digits are, the lowest byte first. Pairs of neighbours are joined three times.
#[inline]
fn value(digits: u64) -> u64 {
    let ones = digits & 0x0f0f_0f0f_0f0f_0f0f;
    let tens = ones.wrapping_mul(10).wrapping_add(ones >> 8) & 0x00ff_00ff_00ff_00ff;
    let hundreds = tens.wrapping_mul(100).wrapping_add(tens >> 16) & 0x0000_ffff_0000_ffff;
    hundreds.wrapping_mul(10_000).wrapping_add(hundreds >> 32) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// The number in a field, if all of it is one.
    fn of(field: &str) -> Option<f64> {
        number(field.as_bytes(), b'.').filter(|(_, length)| *length == field.len()).map(|(number, _)| number)
    }

    /// A digit, mostly drawn, often 0 or 9, where rounding is hardest.
    fn digit(word: u64) -> char {
        char::from(b'0' + if word & 1 == 0 { (word >> 8) % 10 } else { (word >> 8) % 2 * 9 } as u8)
    }

    /// Signs, and any number of digits before and behind the point, which may be absent.
    #[test]
    fn a_number_has_the_bits_of_the_standard_library() {
        let stream = Stream::new(1, "digits");
        let mut plain = 0;
        for made in 0..400_000 {
            let words: Vec<u64> = (0..24).map(|word| stream.bits(made, word)).collect();
            let shape = words[0];
            let (before, behind) = ((shape >> 8) as usize % 12, (shape >> 16) as usize % 12);
            let mut field = if shape & 1 == 0 { "-".to_owned() } else { String::new() };
            field.extend(words.iter().skip(1).take(before).map(|&word| digit(word)));
            if shape & 6 != 0 {
                field.push('.');
                field.extend(words.iter().skip(12).take(behind).map(|&word| digit(word)));
            }
            let Some(parsed) = of(&field) else { continue };
            plain += 1;
            assert_eq!(Ok(parsed.to_bits()), field.parse::<f64>().map(f64::to_bits), "{field}");
            // The same in the middle of a text, where eight bytes can be read at once.
            let text = format!("{field},-7.25,1");
            assert_eq!(
                number(text.as_bytes(), b'.').map(|(number, length)| (number.to_bits(), length)),
                Some((parsed.to_bits(), field.len()))
            );
        }
        assert!(plain > 200_000, "{plain} were plain");
    }

    #[test]
    fn what_is_written_in_another_way_is_left_to_the_standard_library() {
        for field in [
            "",
            "-",
            ".",
            "-.",
            "+1",
            "1.",
            "1e5",
            "1.5e-3",
            "nan",
            "inf",
            "1_000",
            " 1",
            "1234567890.123456",
            "0.1234567890123456",
        ] {
            assert_eq!(of(field), None, "{field:?}");
        }
        for (field, parsed) in
            [("0", 0.0), ("007", 7.0), (".5", 0.5), ("-.25", -0.25), ("999999999999999", 999_999_999_999_999.0)]
        {
            assert_eq!(of(field), Some(parsed), "{field:?}");
        }
        assert_eq!(of("-0").map(f64::to_bits), Some((-0.0_f64).to_bits()));
        assert_eq!(number(b"1,5;2", b','), Some((1.5, 3)));
    }

    #[test]
    fn digits_end_at_every_other_byte() {
        for place in 0..8 {
            for byte in 0..=u8::MAX {
                for others in [b'0', b'9', 0xff, 0] {
                    let mut eight = [b'5'; 8];
                    eight[place..].fill(others);
                    eight[place] = byte;
                    let expected = eight.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    assert_eq!(leading_digits(u64::from_le_bytes(eight)) as usize, expected, "{eight:?}");
                }
            }
        }
    }
}
