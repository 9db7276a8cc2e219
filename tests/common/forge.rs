//! Changes a checkpoint like an attacker who knows the format: every digest is right, for any content.
#![allow(dead_code, reason = "every test file uses another part of it")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

pub fn manifest(checkpoint: &Path) -> Value {
    serde_json::from_slice(&fs::read(checkpoint.join("manifest.json")).unwrap()).unwrap()
}

/// Writes a manifest with the right seal.
pub fn forge(checkpoint: &Path, mut manifest: Value) {
    manifest.as_object_mut().unwrap().remove("blake3");
    let mut text = manifest.to_string();
    assert_eq!(text.pop(), Some('}'));
    text.push(',');
    let digest = blake3::hash(text.as_bytes());
    fs::write(checkpoint.join("manifest.json"), format!("{text}\"blake3\": \"{digest}\"\n}}\n")).unwrap();
}

/// Replaces a file and makes the manifest agree with it.
pub fn forge_file(checkpoint: &Path, name: &str, content: &[u8]) {
    fs::write(checkpoint.join(name), content).unwrap();
    let mut manifest = manifest(checkpoint);
    let files = manifest["files"].as_array_mut().unwrap();
    files.retain(|file| file["name"] != name);
    files.push(json!({"name": name, "bytes": content.len(), "blake3": blake3::hash(content).to_string()}));
    forge(checkpoint, manifest);
}

/// Lists one more file, of one byte.
pub fn forge_entry(checkpoint: &Path, name: &str) {
    let mut manifest = manifest(checkpoint);
    let entry = json!({"name": name, "bytes": 1, "blake3": blake3::hash(b"x").to_string()});
    manifest["files"].as_array_mut().unwrap().push(entry);
    forge(checkpoint, manifest);
}
