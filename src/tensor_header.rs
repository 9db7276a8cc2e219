//! The header of a safetensors file: which tensors it has, and where each of them is.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use crate::plain;

/// Maximal size of a header in bytes, for writing and reading: the limit of the safetensors format.
pub(crate) const LIMIT: u64 = 100_000_000;

/// Size in bytes of the number at the start of the file, the length of the header.
const LENGTH: u64 = 8;

/// The name of an entry that is no tensor: it holds remarks of the program that has written the file.
pub(crate) const REMARKS: &str = "__metadata__";

/// Whether a file may hold remarks beside its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remarks {
    /// They are passed over.
    Ignored,
    /// They are an error.
    Refused,
}

/// Reads the header of a file of `bytes` bytes, and checks that the tensors it describes lie one after the other to the
/// end of the file. Gives the place of the first byte after it, and the tensors; or what is wrong with it. Nothing is
/// allocated that the size of the file does not account for.
pub(crate) fn read(
    reader: &mut impl Read,
    bytes: u64,
    remarks: Remarks,
) -> io::Result<Result<(u64, Metadata), String>> {
    let Some(room) = bytes.checked_sub(LENGTH) else {
        return Ok(Err(format!("{bytes} bytes are too few to hold a header")));
    };
    let mut length = [0; LENGTH as usize];
    reader.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let limit = room.min(LIMIT);
    if length > limit {
        return Ok(Err(format!("the header claims {length} bytes, and there is room for {limit}")));
    }
    let mut json = vec![0; length as usize];
    reader.read_exact(&mut json)?;
    Ok(parse(&json, remarks).and_then(|metadata| match metadata.data_len() as u64 {
        described if described == room - length => Ok((LENGTH + length, metadata)),
        described => Err(format!("its tensors fill {described} of the {} bytes after the header", room - length)),
    }))
}

/// Parses a header into a plain map; [`Metadata`]'s own parser would take several times the memory.
fn parse(json: &[u8], remarks: Remarks) -> Result<Metadata, String> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let infos = Infos(remarks).deserialize(&mut reader).and_then(|infos| reader.end().map(|()| infos));
    let mut infos: Vec<_> = infos.map_err(|error| plain::of_serde(&error.to_string()))?.into_iter().collect();
    infos.sort_by_key(|(_, info)| info.data_offsets);
    Metadata::new(None, infos).map_err(|error| error.to_string())
}

/// Reads the tensors of a header, by name.
struct Infos(Remarks);

impl<'de> DeserializeSeed<'de> for Infos {
    type Value = BTreeMap<String, TensorInfo>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Infos {
    type Value = BTreeMap<String, TensorInfo>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut infos = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == REMARKS && self.0 == Remarks::Ignored {
                map.next_value::<IgnoredAny>()?;
            } else {
                infos.insert(name, map.next_value()?);
            }
        }
        Ok(infos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(json: &str, data: usize, remarks: Remarks) -> Result<(u64, Metadata), String> {
        let file = [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &vec![0; data]].concat();
        read(&mut file.as_slice(), file.len() as u64, remarks).unwrap()
    }

    #[test]
    fn a_header_says_where_tensors_are_and_may_hold_remarks() {
        let json = r#"{"__metadata__":{"format":"pt"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let (start, metadata) = read_all(json, 8, Remarks::Ignored).unwrap();
        assert_eq!((start, metadata.offset_keys()), (8 + json.len() as u64, vec!["x".to_owned()]));
        assert!(read_all(json, 8, Remarks::Refused).unwrap_err().contains("is missing"));
        assert!(read_all(&format!("{json}{json}"), 8, Remarks::Ignored).unwrap_err().contains("trailing"));
        assert!(read_all(json, 9, Remarks::Ignored).unwrap_err().contains("fill 8 of the 9 bytes"));
    }
}
