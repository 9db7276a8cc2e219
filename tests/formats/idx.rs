//! IDX files are read as the images they hold, and errors name file, byte and image.

use std::path::Path;

use crate::common::data;
use crate::common::data::{floats, folder, gzip, idx, images, labels, mnist, open, refusal};
use rekindle::data::{Data, DataConfig, Dataset, Input, RowReader, TargetKind};
use rekindle::state::Stateful;

const IDX: &str = "format = \"idx\"\n";
const STANDARD: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];

/// Returns the message for these training files.
fn said(images: Vec<u8>, labels: Vec<u8>, options: &str) -> String {
    refusal(&[(STANDARD[0], images), (STANDARD[1], labels)], "", &format!("{IDX}{options}"))
}

#[test]
fn the_four_standard_files_are_training_and_validation_rows() {
    let folder = folder(&mnist());
    let data = open(folder.path(), &format!("{IDX}batch_size = 7\nshuffle = false")).unwrap();
    assert_eq!((data.train_rows().to_vec(), data.validation_rows().to_vec()), ((0..40).collect(), (40..50).collect()));
    assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![1, 2, 3]), TargetKind::Classes { count: 3 }));
    let batch = data.batch(0).unwrap();
    assert_eq!(batch.inputs.dims(), [7, 1, 2, 3]);
    let expected: Vec<f32> = (0..42).map(|pixel: u32| f32::from((pixel * 7) as u8) / 255.0).collect();
    assert_eq!(floats(&batch.inputs), expected);
    assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [0, 2, 0, 0, 2, 0, 0]);
    let validation: Vec<_> = data.validation_batches().map(Result::unwrap).collect();
    assert_eq!((validation.len(), validation[0].inputs.dims()), (1, [10, 1, 2, 3].as_slice()));
    assert_eq!(floats(&validation[0].inputs)[..42], expected);
}

#[test]
fn files_may_have_other_names_and_validation_is_a_share_on_request() {
    let files = [("a.idx", images(10)), ("b.idx.gz", gzip(&labels(10))), ("c", images(4)), ("d", labels(4))];
    let folder = folder(&files);
    let named = format!("{IDX}images = \"a.idx\"\nlabels = \"b.idx\"\n");
    let sizes = |options: &str| {
        let data = open(folder.path(), &format!("{named}{options}")).unwrap();
        (data.train_rows().len(), data.validation_rows().len())
    };
    assert_eq!(sizes(""), (10, 0));
    assert_eq!(sizes("validation = 0.3"), (7, 3));
    assert_eq!(sizes("validation_images = \"c\"\nvalidation_labels = \"d\""), (10, 4));
    let mnist = data::folder(&mnist());
    let shared = open(mnist.path(), &format!("{IDX}validation = 0.25")).unwrap();
    assert_eq!((shared.train_rows().len(), shared.validation_rows().len()), (30, 10));
}

#[test]
fn the_fingerprint_is_of_every_file_that_is_used() {
    let of = |change: usize| {
        let mut files = mnist();
        if change < files.len() {
            files[change].1 =
                if change < 2 { gzip(&[&images(40), &labels(40)][change][..]) } else { files[change].1.clone() };
            let last = files[change].1.len() - 1;
            files[change].1[if change < 2 { 4 } else { last }] ^= 1;
        }
        open(folder(&files).path(), IDX).unwrap().fingerprint().clone()
    };
    let fingerprints: std::collections::BTreeSet<String> = (0..5).map(|change| of(change).blake3).collect();
    assert_eq!(fingerprints.len(), 5);
    assert_eq!(of(4), of(5));
}

#[test]
fn a_missing_package_says_how_to_install_it() {
    let message = open(Path::new("/usr/share/datasets/no-such-data"), IDX).unwrap_err();
    assert!(
        message.starts_with("cannot read the data file /usr/share/datasets/no-such-data/train-images-idx3-ubyte: No")
    );
    assert!(message.ends_with("`apt-get install dataset-no-such-data` installs it, or set `data.path` to its path"));
    let message = refusal(&[(STANDARD[0], images(1))], "", IDX);
    assert_eq!(
        message,
        "cannot read the data file train-labels-idx1-ubyte: No such file or directory (os error 2); \
         set `data.path` to its path"
    );
}

#[test]
fn another_magic_or_rank_is_named_with_the_one_that_should_be_there() {
    assert_eq!(
        said(labels(3), labels(3), ""),
        "train-images-idx3-ubyte, byte 3: the number of dimensions is 1, and that of images is at least 2; give a file \
         of images"
    );
    assert!(said(images(3), images(3), "").contains("the number of dimensions is 3, and that of labels is 1"));
    assert_eq!(
        said(images(3), vec![0x51, 0x4b, 1], ""),
        "train-labels-idx1-ubyte, byte 0: an IDX file of labels starts with the bytes 00 00, a type from 08 to 0e, and \
         the number of dimensions, and this one with 51 4b 01"
    );
}

/// The bytes of an IDX file of this type.
fn typed(code: u8, dims: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = idx(dims, elements);
    bytes[2] = code;
    bytes
}

#[test]
fn images_and_labels_of_other_types_and_ranks_are_read() {
    let floats_of = |images: Vec<u8>, labels: Vec<u8>| {
        let folder = folder(&[(STANDARD[0], images), (STANDARD[1], labels)]);
        let data = open(folder.path(), &format!("{IDX}shuffle = false\nbatch_size = \"all\"")).unwrap();
        let batch = data.batch(0).unwrap();
        (data.input(), floats(&batch.inputs), batch.targets.to_vec1::<u32>().unwrap(), data.notices().len())
    };
    let ints = typed(0x0c, &[2], &[0_i32, 1].map(i32::to_be_bytes).concat());
    let values = typed(0x0d, &[2, 1, 2], &[0.5_f32, -1.0, 2.0, 3.0].map(f32::to_be_bytes).concat());
    assert_eq!(
        floats_of(values, ints.clone()),
        (Input::Numbers(vec![1, 1, 2]), vec![0.5, -1.0, 2.0, 3.0], vec![0, 1], 1)
    );
    let rows = typed(0x0b, &[2, 3], &[1_i16, 2, 3, -4, 5, 6].map(i16::to_be_bytes).concat());
    assert_eq!(floats_of(rows, ints.clone()).0, Input::Numbers(vec![3]));
    let colours = idx(&[2, 1, 2, 3], &[255, 0, 0, 0, 255, 0, 0, 0, 255, 51, 51, 51]);
    let (input, values, ..) = floats_of(colours, ints);
    assert_eq!((input, &values[..6]), (Input::Numbers(vec![3, 1, 2]), &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0][..]));
}

#[test]
fn a_file_of_another_length_than_its_header_says_is_named_with_both() {
    let cut = |end| said(images(3)[..end].to_vec(), labels(3), "");
    let expected = |end| {
        format!("train-images-idx3-ubyte, byte {end}: the file ends here, but its header of 3 images needs 34 bytes")
    };
    for end in [33, 17, 16] {
        assert_eq!(cut(end), expected(end));
    }
    assert!(cut(9).starts_with("train-images-idx3-ubyte, byte 9: the file ends"), "{}", cut(9));
    assert_eq!(said([images(3), vec![0]].concat(), labels(3), ""), expected(35));
    let huge = idx(&[u32::MAX, u32::MAX, u32::MAX], &[0; 6]);
    assert!(said(huge, labels(3), "").ends_with("4294967295 images needs 79228162458924105385300197391 bytes"));
}

#[test]
fn a_gzip_that_is_cut_short_is_damaged() {
    let packed = gzip(&images(40));
    for end in [3, packed.len() / 2, packed.len() - 1] {
        let files = [("train-images-idx3-ubyte.gz", packed[..end].to_vec()), (STANDARD[1], labels(40))];
        let message = refusal(&files, "", IDX);
        assert!(message.starts_with("the gzip file train-images-idx3-ubyte.gz is damaged or cut short: "), "{message}");
    }
}

#[test]
fn empty_files_and_empty_images_hold_nothing() {
    assert_eq!(said(vec![], labels(3), ""), "the data file train-images-idx3-ubyte is empty");
    assert_eq!(said(images(0), labels(0), ""), "train-images-idx3-ubyte holds no rows of data");
    assert_eq!(
        said(idx(&[3, 0, 3], &[]), labels(3), ""),
        "train-images-idx3-ubyte, byte 4: images of [0, 3] hold nothing"
    );
}

#[test]
fn images_and_labels_must_be_of_one_number_and_all_images_of_one_size() {
    assert_eq!(
        said(images(3), labels(4), ""),
        "train-images-idx3-ubyte holds 3 images and train-labels-idx1-ubyte 4 labels"
    );
    let mut files = mnist();
    files[2].1 = idx(&[10, 3, 2], &[0; 60]);
    assert_eq!(
        refusal(&files, "", IDX),
        "t10k-images-idx3-ubyte holds images of [1, 3, 2] and train-images-idx3-ubyte.gz of [1, 2, 3]; \
         all must have one size"
    );
}

#[test]
fn a_label_beyond_the_classes_is_named_by_image_and_byte() {
    assert_eq!(
        said(images(3), idx(&[3], &[0, 1, 2]), "classes = 2"),
        "train-labels-idx1-ubyte, image 2 (counted from 0), byte 10: \
         label 2 is not below the number of classes, 2; labels count from 0"
    );
    let mut files = mnist();
    files[3].1 = idx(&[10], &[9; 10]);
    assert!(refusal(&files, "", &format!("{IDX}classes = 3")).starts_with("t10k-labels-idx1-ubyte, image 0 (counted"));
}

#[test]
fn options_that_mean_nothing_are_refused_by_name() {
    for option in ["header = true", "label = 1", "inputs = \"x\"", "standardize = true"] {
        let name = option.split_once(' ').unwrap().0;
        let message = said(images(3), labels(3), option);
        assert_eq!(message, format!("`data.{name}` does not apply to IDX; remove it"));
    }
    assert_eq!(
        said(images(3), labels(3), "validation_images = \"a\""),
        "`data.validation_images` is given without `data.validation_labels`; validation needs both"
    );
    assert_eq!(
        said(images(3), labels(3), "validation_images = \"a\"\nvalidation_labels = \"b\"\nvalidation = 0.1"),
        "`data.validation` does not apply to images that come with validation images; remove it"
    );
}

/// Debian's package; the test reads nothing if it is not installed.
#[test]
fn fashion_mnist_is_70000_images_of_10_classes() {
    let folder = Path::new("/usr/share/datasets/fashion-mnist");
    if !folder.exists() {
        eprintln!("not tested: `apt-get install dataset-fashion-mnist` brings {}", folder.display());
        return;
    }
    let data = open(folder, IDX).unwrap();
    assert_eq!((data.train_rows().len(), data.validation_rows().len()), (60_000, 10_000));
    assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![1, 28, 28]), TargetKind::Classes { count: 10 }));
    let first = data.dataset().gather(&[0, 60_000]).unwrap();
    assert_eq!(first.targets.to_vec1::<u32>().unwrap(), [9, 9]);
}

#[test]
fn labels_of_one_class_are_refused_and_classes_without_images_are_reported() {
    let one = said(images(3), idx(&[3], &[4, 4, 4]), "");
    let expected = "train-labels-idx1-ubyte: every row has the label 4, so nothing can be learned; `data.labels` names \
                    the file of labels";
    assert_eq!(one, expected);
    let folder = folder(&[(STANDARD[0], images(3)), (STANDARD[1], idx(&[3], &[1, 2, 2]))]);
    let told = |options: &str| open(folder.path(), &format!("{IDX}{options}")).unwrap().notices();
    let text = told("")[0].to_string();
    assert!(text.contains("the labels are 2 classes by value: 1 (1 row) and 2 (2 rows)"), "{text}");
    assert_eq!(told("classes = 3"), []);
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let message = refusal(&[(STANDARD[0], images(3)), (STANDARD[1], labels(3))], STANDARD[0], IDX);
    assert!(message.ends_with("is a file; give the folder that holds both the images and their labels"), "{message}");
}

#[test]
fn labels_that_do_not_count_from_0_are_classes_by_value_for_a_run_and_for_its_model() {
    let letters = idx(&[4], &[1, 26, 1, 2]);
    let signs = typed(0x09, &[4], &[255, 1, 255, 1]);
    for (labels, expected, names) in
        [(letters, vec![0, 2, 0, 1], vec!["1", "2", "26"]), (signs, vec![0, 1, 0, 1], vec!["-1", "1"])]
    {
        let folder = folder(&[(STANDARD[0], images(4)), (STANDARD[1], labels)]);
        let options = format!("path = {:?}\n{IDX}shuffle = false\nbatch_size = \"all\"", folder.path());
        let config: DataConfig = toml::from_str(&options).unwrap();
        let data = Data::open(&config, 0, &candle_core::Device::Cpu).unwrap();
        assert_eq!(data.batch(0).unwrap().targets.to_vec1::<u32>().unwrap(), expected);
        assert_eq!(data.schema().names.classes.unwrap(), names);
        let told: String = data.notices().iter().map(ToString::to_string).collect();
        assert!(told.contains("classes by value"), "{told}");
        let mut reader = RowReader::open(&config, &data.schema(), &data.save().unwrap(), true).unwrap();
        let rows = reader.next().unwrap().unwrap();
        assert_eq!(rows.targets.unwrap().to_vec1::<u32>().unwrap(), expected);
        let mut again = Data::open(&config, 0, &candle_core::Device::Cpu).unwrap();
        again.load(&data.save().unwrap()).unwrap();
    }
}
