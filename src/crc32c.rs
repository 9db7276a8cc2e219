//! CRC-32C (Castagnoli), the checksum of TensorBoard's event files, of OCDBT and of zarr 3.

/// The remainders of every byte that up to seven bytes follow, for the reversed polynomial 0x1EDC6F41.
const TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            remainder = (remainder >> 1) ^ if remainder & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        tables[0][byte] = remainder;
        byte += 1;
    }
    let mut following = 1;
    while following < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[following - 1][byte];
            tables[following][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        following += 1;
    }
    tables
};

/// Returns the checksum of `bytes`. Eight bytes are looked up at once, as in Intel's "slicing by 8".
pub fn crc32c(bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let sum = eights.iter().fold(!0, |sum, eight| {
        let eight = u64::from_le_bytes(*eight) ^ u64::from(sum);
        let remainder = |place: usize| TABLES[7 - place][usize::from((eight >> (8 * place)) as u8)];
        (0..8).fold(0, |sum, place| sum ^ remainder(place))
    });
    !rest.iter().fold(sum, |sum, byte| (sum >> 8) ^ TABLES[0][usize::from(sum as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the catalogue of parametrised CRC algorithms (CRC-32/ISCSI).
    #[test]
    fn the_sum_is_that_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn the_sum_is_that_of_bit_by_bit_for_every_length() {
        let bytes: Vec<u8> = (0..70).map(|at: u32| (at * 73 + 11) as u8).collect();
        for length in 0..bytes.len() {
            let slow = bytes[..length].iter().fold(!0u32, |sum, byte| {
                (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 })
            });
            assert_eq!(crc32c(&bytes[..length]), !slow, "{length}");
        }
    }
}
