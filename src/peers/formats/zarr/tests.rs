use std::collections::HashMap;

use super::*;
use crate::crc32c::crc32c;

/// A store in memory.
struct Memory(HashMap<String, Vec<u8>>);

impl Memory {
    fn new(metadata: (&str, String), chunks: &[(&str, Vec<u8>)]) -> Self {
        let chunks = chunks.iter().map(|(key, bytes)| (format!("a/{key}"), bytes.clone()));
        Self(chunks.chain([(format!("a/{}", metadata.0), metadata.1.into_bytes())]).collect())
    }

    fn read(&self, complete: bool) -> Result<Vec<f64>, String> {
        let read = read(self, "a", complete, &mut Budget::of(1000)).map_err(|error| error.to_string())?;
        read.ok_or("no array")?.to_f64()
    }
}

impl Store for Memory {
    fn get(&self, key: &str) -> Result<Option<Arc<Storage>>, PeerError> {
        Ok(self.0.get(key).cloned().map(Storage::owned))
    }

    fn place(&self, key: &str) -> PathBuf {
        key.into()
    }
}

/// A `.zarray` of two rows of three elements.
fn version_2(dtype: &str, chunks: &str, order: &str, fill: &str) -> (&'static str, String) {
    let text = format!(
        r#"{{"zarr_format":2,"shape":[2,3],"chunks":{chunks},"dtype":"{dtype}","order":"{order}","fill_value":{fill},"compressor":null,"filters":null}}"#
    );
    (".zarray", text)
}

/// A `zarr.json` of two rows of three elements in one chunk.
fn version_3(codecs: &str, chunk: &str) -> (&'static str, String) {
    let text = format!(
        r#"{{"zarr_format":3,"node_type":"array","shape":[2,3],"data_type":"uint8","fill_value":7,
        "chunk_grid":{{"name":"regular","configuration":{{"chunk_shape":{chunk}}}}},
        "chunk_key_encoding":{{"name":"default"}},"codecs":{codecs}}}"#
    );
    ("zarr.json", text)
}

const SIX: [f64; 6] = [0., 1., 2., 3., 4., 5.];

#[test]
fn chunks_that_reach_beyond_the_array_are_cut() {
    let chunks = [("0.0", vec![0, 1, 3, 4]), ("0.1", vec![2, 99, 5, 99])];
    assert_eq!(Memory::new(version_2("|u1", "[2,2]", "C", "0"), &chunks).read(true).unwrap(), SIX);
    let slashed = version_2("|u1", "[2,2]", "C", "0");
    let slashed = (slashed.0, slashed.1.replace("null}", r#"null,"dimension_separator":"/"}"#));
    let chunks = chunks.map(|(key, bytes)| (if key == "0.0" { "0/0" } else { "0/1" }, bytes));
    assert_eq!(Memory::new(slashed, &chunks).read(true).unwrap(), SIX);
}

#[test]
fn either_order_of_elements_and_of_bytes_is_read() {
    let columns = [("0.0", vec![0, 3, 1, 4, 2, 5])];
    assert_eq!(Memory::new(version_2("|u1", "[2,3]", "F", "0"), &columns).read(true).unwrap(), SIX);
    let big = (0..6).flat_map(|number: i16| number.to_be_bytes()).collect();
    assert_eq!(Memory::new(version_2(">i2", "[2,3]", "C", "0"), &[("0.0", big)]).read(true).unwrap(), SIX);
    let halves = SIX.map(|number| half::bf16::from_f64(number).to_le_bytes()).concat();
    assert_eq!(Memory::new(version_2("bfloat16", "[2,3]", "C", "0"), &[("0.0", halves)]).read(true).unwrap(), SIX);
    let codecs = r#"[{"name":"transpose","configuration":{"order":[1,0]}},{"name":"bytes"}]"#;
    assert_eq!(Memory::new(version_3(codecs, "[2,3]"), &[("c/0/0", columns[0].1.clone())]).read(true).unwrap(), SIX);
}

#[test]
fn a_chunk_that_is_missing_is_damage_or_the_fill_value() {
    let array = Memory::new(version_2("<f4", "[2,3]", "C", "-2.5"), &[]);
    assert_eq!(array.read(false).unwrap(), [-2.5; 6]);
    assert!(array.read(true).unwrap_err().contains("a/0.0: this chunk is missing"));
    let nan = Memory::new(version_2("<f2", "[1,3]", "C", "\"NaN\""), &[("0.0", vec![0; 6])]).read(false).unwrap();
    assert!(nan[..3].iter().all(|number| *number == 0.0) && nan[3..].iter().all(|number| number.is_nan()));
}

#[test]
fn shards_are_read_and_their_sums_compared() {
    let codecs = r#"[{"name":"sharding_indexed","configuration":{"chunk_shape":[2,1],"codecs":[{"name":"bytes"}],
        "index_codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}]}}]"#;
    let mut shard = vec![2, 5, 0, 3];
    let places = [2, 2, u64::MAX, u64::MAX, 0, 2].map(u64::to_le_bytes).concat();
    shard.extend(&places);
    shard.extend(crc32c(&places).to_le_bytes());
    let memory = Memory::new(version_3(codecs, "[2,3]"), &[("c/0/0", shard.clone())]);
    assert_eq!(memory.read(true).unwrap(), [0., 7., 2., 3., 7., 5.]);
    shard[5] ^= 1;
    let changed = Memory::new(version_3(codecs, "[2,3]"), &[("c/0/0", shard)]);
    assert!(changed.read(true).unwrap_err().contains("does not match its CRC-32C"));
    let uneven = codecs.replace("[2,1]", "[2,2]");
    assert!(Memory::new(version_3(&uneven, "[2,3]"), &[]).read(true).unwrap_err().contains("do not consist of chunks"));
}

#[test]
fn unknown_things_and_sizes_that_lie_are_named() {
    let error = |metadata, chunk: Vec<u8>| Memory::new(metadata, &[("0.0", chunk)]).read(true).unwrap_err();
    assert!(error(version_2("<M8[ns]", "[2,3]", "C", "0"), vec![]).contains(r#"the dtype "<M8[ns]" is not read"#));
    assert!(error(version_2("|u1", "[2,0]", "C", "0"), vec![]).contains("do not compose"));
    assert!(error(version_2("|u1", "[2,3]", "C", "0"), vec![1; 5]).contains("5 bytes where 6 are due"));
    let blosc = version_2("|u1", "[2,3]", "C", "0");
    let blosc = (blosc.0, blosc.1.replace(r#""compressor":null"#, r#""compressor":{"id":"blosc"}"#));
    assert!(error(blosc, vec![]).contains("the compression blosc is not read"));
    for lie in ["[9999999,9999999]", "[99999999999999999,99999999999999999]", "[999999,99]"] {
        let lying = version_2("|u1", "[1,3]", "C", "0");
        let lying = (lying.0, lying.1.replace("[2,3]", lie));
        let error = error(lying, vec![]);
        assert!(
            ["far larger", "than can be counted", "chunks; up to"].iter().any(|part| error.contains(part)),
            "{error}"
        );
    }
    let codecs = r#"[{"name":"bytes"},{"name":"bytes"}]"#;
    assert!(Memory::new(version_3(codecs, "[2,3]"), &[]).read(true).unwrap_err().contains("2 times into bytes"));
    let order = r#"[{"name":"transpose","configuration":{"order":[1,1]}},{"name":"bytes"}]"#;
    assert!(Memory::new(version_3(order, "[2,3]"), &[]).read(true).unwrap_err().contains("no order of 2 dimensions"));
}

#[test]
fn real_arrays_are_read_from_a_folder_and_from_a_database() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/cases/orbax");
    let folder = Folder(format!("{cases}/sgd_momentum_zarr/10").into());
    let step = read(&folder, "step", true, &mut Budget::of(1000)).unwrap().unwrap();
    assert_eq!(step.scalar(), Some(10.0));
    let database = Ocdbt::open(format!("{cases}/adamw_warmup_cosine/10/state").as_ref()).unwrap();
    for store in [&folder as &dyn Store, &database] {
        let kernel = read(store, "params.layers_0.kernel", true, &mut Budget::of(1000)).unwrap().unwrap();
        assert_eq!(kernel.shape(), [10, 32]);
        assert!(kernel.to_f64().unwrap().iter().all(|number| number.abs() < 2.0 && *number != 0.0));
    }
    assert!(read(&folder, "none", true, &mut Budget::of(1000)).unwrap().is_none());
    assert!(read(&folder, "../10/step", true, &mut Budget::of(1000)).is_err());
}
