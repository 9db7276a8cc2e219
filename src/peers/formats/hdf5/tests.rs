use std::time::{Duration, Instant};

use super::super::changed::Random;
use super::*;

const CASES: [&str; 3] = ["adamw_cosine_warmup", "sgd_momentum_piecewise", "adam_number_named"];

fn bytes(case: &str) -> Vec<u8> {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/cases/keras");
    std::fs::read(format!("{cases}/{case}/model.weights.h5")).unwrap()
}

fn file(bytes: Vec<u8>) -> Arc<Storage> {
    Storage::owned(bytes)
}

#[test]
fn groups_attributes_and_arrays_of_a_real_file_are_read() {
    let root = read(&file(bytes("adam_number_named"))).unwrap();
    assert_eq!(root.at(&["layers", "dense", "vars"]).unwrap().attribute("name"), Some("hidden"));
    let optimizer = root.at(&["optimizer", "vars"]).unwrap();
    assert_eq!(optimizer.attribute("name"), Some("adam"));
    let variables = optimizer.numbered().unwrap();
    assert_eq!(variables[0].scalar(), Some(10.0));
    assert_eq!(variables[0].dtype(), Dtype::I32);
    assert_eq!(variables[1].to_f32().unwrap(), [0.01]);
    assert_eq!(variables[2].shape(), [10, 32]);
    let bias = root.at(&["layers", "dense_1", "vars"]).unwrap().numbered().unwrap()[1].to_f32().unwrap();
    assert!((bias[0] - 0.030_371_43).abs() < 1e-7);
    assert!(root.at(&["layers", "none"]).is_none());
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let bytes = bytes("adamw_cosine_warmup");
    for length in [0, 7, 8, 96, 2000, bytes.len() / 2, bytes.len() - 1] {
        let error = read(&file(bytes[..length].to_vec())).unwrap_err();
        assert!(error.contains("cut off") == (length >= 96), "{length} bytes: {error}");
    }
}

/// The crate is not ours; this is why it is trusted with files that nobody vouches for.
#[test]
fn changed_forms_of_real_files_end_soon_and_without_a_panic() {
    let files = CASES.map(bytes);
    // Bytes that are not zero are what the structure consists of.
    let places: Vec<Vec<usize>> =
        files.iter().map(|file| (0..file.len()).filter(|place| file[*place] != 0).collect()).collect();
    let mut random = Random(2);
    for round in 0..3000 {
        let number = random.below(files.len());
        let mut changed = files[number].clone();
        for _ in 0..=random.below(4) {
            let place = match random.below(4) {
                0 => random.below(changed.len()),
                _ => places[number][random.below(places[number].len())],
            };
            match random.below(5) {
                0 => changed[place] ^= 1 << random.below(8),
                1 => changed[place] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                2 => {
                    let end = (place + 8).min(changed.len());
                    changed[place..end].fill(0xff);
                }
                3 => {
                    // An address of another place of the structure.
                    let address = (places[number][random.below(places[number].len())] as u64).to_le_bytes();
                    let start = place & !7;
                    let end = (start + 8).min(changed.len());
                    changed[start..end].copy_from_slice(&address[..end - start]);
                }
                _ => {
                    let from = random.below(changed.len());
                    let length = random.below(64).min(changed.len() - from).min(changed.len() - place);
                    let piece = changed[from..from + length].to_vec();
                    changed[place..place + length].copy_from_slice(&piece);
                }
            }
        }
        let began = Instant::now();
        let read = read(&file(changed));
        assert!(began.elapsed() < Duration::from_secs(5), "round {round}: {:?}", read.map(|_| ()));
        // Views stay within the file.
        if let Ok(root) = read {
            root.groups.iter().flat_map(|group| &group.arrays).for_each(|(_, array)| drop(array.to_bytes()));
        }
    }
}
