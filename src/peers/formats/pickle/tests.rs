//! Pickles by hand, opcode by opcode.

use super::super::super::tree::{Tree, Value};
use super::{NoStorages, Refusal, read};

fn tree(bytes: &[u8]) -> Tree {
    read(bytes, &mut NoStorages).unwrap_or_else(|error| panic!("{error:?}")).0
}

fn refusal(bytes: &[u8]) -> String {
    match read(bytes, &mut NoStorages) {
        Ok((tree, _)) => panic!("it was read: {:?}", tree.root().value()),
        Err(Refusal::Damaged(what)) => format!("damaged: {what}"),
        Err(Refusal::Unsupported(what)) => format!("unsupported: {what}"),
    }
}

#[test]
fn a_value_that_stands_twice_is_one_value_in_the_tree() {
    // {"a": x, "b": x} with x = [1], which is filled only after it was kept.
    let tree = tree(b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02K\x01aX\x01\x00\x00\x00bq\x03h\x02u.");
    let (a, b) = (tree.root().get("a").unwrap(), tree.root().get("b").unwrap());
    assert_eq!(a.place(), b.place());
    assert_eq!(a.numbers().unwrap(), [1.0]);
}

#[test]
fn a_list_within_itself_is_read_without_end_of_memory_or_time() {
    let tree = tree(b"\x80\x02]q\x00h\x00a.");
    let inner = tree.root().items().unwrap().next().unwrap();
    assert_eq!(inner.place(), tree.root().place());
    assert!(tree.len() < 10);
}

#[test]
fn dicts_keep_the_order_of_the_file() {
    let mut pickle = b"\x80\x02}(".to_vec();
    for key in (0..3000u16).rev() {
        pickle.extend([b'M', key as u8, (key >> 8) as u8, b'N']);
    }
    pickle.extend(b"u.");
    let tree = tree(&pickle);
    let keys: Vec<_> = tree.root().entries().unwrap().map(|(key, _)| key.int().unwrap()).collect();
    assert!(keys.iter().copied().eq((0..3000).rev()));
}

#[test]
fn every_protocol_is_read() {
    // {"a": (1, -2, 2.5, True, None), "b": b"\xff"} as Python's protocols 0, 2 and 5 write it.
    let texts: [&[u8]; 3] = [
        b"(dp0\nVa\np1\n(I1\nI-2\nF2.5\nI01\nNtp2\nsVb\np3\nc_codecs\nencode\np4\n(V\xff\np5\nVlatin1\np6\ntp7\nRp8\ns.",
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01(K\x01J\xfe\xff\xff\xffG@\x04\x00\x00\x00\x00\x00\x00\x88Ntq\x02X\x01\x00\x00\x00bq\x03c_codecs\nencode\nq\x04X\x02\x00\x00\x00\xc3\xbfq\x05X\x06\x00\x00\x00latin1q\x06\x86q\x07Rq\x08u.",
        b"\x80\x05\x95\x2b\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94(K\x01J\xfe\xff\xff\xffG@\x04\x00\x00\x00\x00\x00\x00\x88Nt\x94\x8c\x01b\x94C\x01\xff\x94u.",
    ];
    for text in texts {
        let tree = tree(text);
        let tuple: Vec<_> = tree.root().get("a").unwrap().items().unwrap().collect();
        assert_eq!((tuple[0].int(), tuple[1].int(), tuple[2].number()), (Some(1), Some(-2), Some(2.5)));
        assert_eq!((tuple[3].bool(), tuple[4].is_null()), (Some(true), true));
        assert!(matches!(tree.root().get("b").unwrap().value(), Value::Bytes(bytes) if bytes == &[0xff]));
    }
}

#[test]
fn escapes_of_protocol_0_are_resolved() {
    // As Python writes the text "aé", a line feed, `\n`, and an emoji.
    assert_eq!(tree(b"Va\xe9\\u000a\\u005cn\\x\\U0001f600\n.").root().text(), Some("aé\n\\n\\x😀"));
    assert_eq!(tree(b"S'it\\'s \\x41'\n.").root().text(), Some("it's A"));
}

#[test]
fn sets_counters_and_named_tuples_are_read() {
    let set = tree(b"\x80\x02c__builtin__\nset\n](K\x01K\x02e\x85R.");
    assert!(matches!(set.root().value(), Value::Set(items) if items.len() == 2));
    assert!(matches!(tree(b"\x80\x04\x8f(K\x01\x90.").root().value(), Value::Set(items) if items.len() == 1));
    let counter = tree(b"\x80\x02ccollections\nCounter\n}K\x07K\x02s\x85R.");
    let entries: Vec<_> = counter.root().entries().unwrap().map(|(key, count)| (key.int(), count.int())).collect();
    assert_eq!(entries, [(Some(7), Some(2))]);
    let path = tree(b"\x80\x02cpathlib\nPosixPath\nX\x01\x00\x00\x00/X\x03\x00\x00\x00runX\x01\x00\x00\x00a\x87R.");
    assert_eq!(path.root().text(), Some("/run/a"));
}

#[test]
fn an_instance_has_its_class_as_a_name_and_its_attributes() {
    let tree = tree(b"\x80\x02cargparse\nNamespace\n)\x81}X\x02\x00\x00\x00lrK\x03sb.");
    assert_eq!(tree.root().object().unwrap().class, "argparse.Namespace");
    assert_eq!(tree.root().get("lr").unwrap().int(), Some(3));
    // A class with `__slots__` has its attributes in a second dict.
    let slots = b"\x80\x02cmy\nThing\n)\x81}X\x01\x00\x00\x00aK\x01s}X\x01\x00\x00\x00bK\x02s\x86b.";
    let slots = self::tree(slots);
    assert_eq!((slots.root().get("a").unwrap().int(), slots.root().get("b").unwrap().int()), (Some(1), Some(2)));
}

#[test]
fn a_subclass_of_dict_has_entries_and_a_named_state() {
    let tree = tree(b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00aK\x01s}X\x09\x00\x00\x00_metadataNsb.");
    let keys: Vec<_> = tree.root().entries().unwrap().map(|(key, _)| key.text().unwrap()).collect();
    assert_eq!(keys, ["a"], "attributes are no entries");
}

#[test]
fn a_function_that_runs_something_is_named_and_never_called() {
    for pickle in [
        &b"cos\nsystem\n(S'touch /tmp/called'\ntR."[..],
        b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.",
        b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        b"(ios\nsystem\n.",
        b"\x80\x02csubprocess\nPopen\n).",
        b"\x80\x02ctorch.hub\nload\n)R.",
        b"\x80\x02ctorch\nload\n)R.",
        b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\n)R.",
    ] {
        let message = refusal(pickle);
        let name = ["system", "eval", "Popen", "torch.hub.load", "torch.load", "_rebuild_sparse_tensor"];
        assert!(message.starts_with("unsupported: ") && name.iter().any(|name| message.contains(name)), "{message}");
    }
    // A class of nobody known is data.
    let tree = tree(b"\x80\x02cmy.config\nConfig\nK\x05\x85R.");
    assert_eq!(tree.root().object().unwrap().class, "my.config.Config");
    assert_eq!(tree.root().object().unwrap().arguments.len(), 1);
}

#[test]
fn a_pickle_that_ends_early_or_lacks_values_is_refused_with_the_place() {
    for pickle in [
        &b""[..],
        b"\x80",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02(.",
        b"\x80\x02\x85.",
        b"\x80\x02h\x07.",
        b"\x80\x02a.",
        b"\x80\x02u.",
        b"\x80\x02NNa.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02X\xff\xff\xff\xffab.",
        b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x02N(\x85t.",
        b"\x80\x02K\x01NR.",
        b"\x80\x02N)R.",
        b"\x80\x02\xff.",
        b"\x80\x02K\x01}b.",
        b"\x80\x02(K\x01(a.",
        b"\x80\x02)Q.",
        b"\x80\x02cmy\nThing\n}b.",
        b"Ix\n.",
        b"F\n.",
        b"S'a\n.",
        b"\x80\x02ca\n",
    ] {
        let message = refusal(pickle);
        assert!(message.starts_with("damaged: "), "{pickle:?}: {message}");
    }
    assert!(refusal(b"\x80\x06N.").starts_with("unsupported: byte 0, PROTO: protocol 6"));
    assert!(refusal(b"\x80\x05\x97.").contains("buffer"));
    assert!(refusal(b"\x80\x02\x82\x01.").contains("extension registry"));
}

#[test]
fn values_that_copy_each_other_without_end_are_refused() {
    // A list of 2000 is made into a set again and again: five bytes for each copy.
    let mut pickle = b"\x80\x02c__builtin__\nset\nq\x00]q\x01(".to_vec();
    pickle.extend(vec![b'N'; 2000]);
    pickle.extend(b"e\x85q\x02");
    for _ in 0..4000 {
        pickle.extend(b"h\x00h\x02R0");
    }
    pickle.extend(b".");
    assert!(refusal(&pickle).contains("copies values without end"));
    // A class with a long name, of which there are many instances.
    let mut pickle = b"\x80\x02cmy\n".to_vec();
    pickle.extend(vec![b'x'; 100_000]);
    pickle.extend(b"\nq\x00");
    for _ in 0..2000 {
        pickle.extend(b"h\x00)\x81");
    }
    pickle.extend(b".");
    assert!(refusal(&pickle).contains("copies values without end"));
}

#[test]
fn lists_in_lists_a_million_deep_take_no_stack() {
    let mut pickle = b"\x80\x02".to_vec();
    pickle.extend(vec![b']'; 1_000_000]);
    pickle.extend(vec![b'a'; 999_999]);
    pickle.push(b'.');
    assert!(tree(&pickle).len() >= 1_000_000);
}

#[test]
fn arrays_and_numbers_of_numpy_are_read() {
    let dtype =
        |name: &str, order: &str| format!("cnumpy\ndtype\n(V{name}\nI00\nI01\ntR(I3\nV{order}\nNNNI-1\nI-1\nI0\ntb");
    let encoded = |text: &str| format!("c_codecs\nencode\n(V{text}\nVlatin1\ntR");
    let scalar = |dtype: String, text: &str| format!("cnumpy._core.multiarray\nscalar\n({dtype}{}tR.", encoded(text));
    assert_eq!(
        tree(scalar(dtype("f8", "<"), "\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u00f8?").as_bytes()).root().number(),
        Some(1.5)
    );
    assert_eq!(tree(scalar(dtype("i2", ">"), "\\u0001\\u0002").as_bytes()).root().int(), Some(258));
    assert_eq!(tree(scalar(dtype("b1", "|"), "\\u0001").as_bytes()).root().bool(), Some(true));
    let array = |fortran: &str, text: &str| {
        let made = "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR";
        format!("{made}(I1\n(I2\nI3\nt{}{fortran}\n{}tb.", dtype("u1", "|"), encoded(text))
    };
    for (fortran, expected) in [("I00", [1., 2., 3., 4., 5., 6.]), ("I01", [1., 3., 5., 2., 4., 6.])] {
        let tree = tree(array(fortran, "\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006").as_bytes());
        let array = tree.root().tensor().unwrap();
        assert_eq!((array.shape(), array.to_f64().unwrap()), (&[2, 3][..], expected.to_vec()));
    }
    assert!(refusal(array("I00", "\\u0001").as_bytes()).contains("leaves its storage"));
}
