//! Files of ONNX, read back and, for a perceptron, computed.

use std::collections::BTreeMap;
use std::fs;

use candle_core::{DType, Device, Tensor};

use crate::common::programs::Workplace;

/// A message of protocol buffers: the content of each field, in order.
#[derive(Debug, Default)]
pub struct Message(Vec<(u64, Content)>);

#[derive(Debug)]
pub enum Content {
    Integer(u64),
    Bytes(Vec<u8>),
    /// A number of 32 bits, which no test reads.
    Single,
}

impl Message {
    fn read(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let content = match key & 7 {
                0 => Content::Integer(varint(&mut bytes)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    Content::Bytes(take(&mut bytes, length).to_vec())
                }
                5 => {
                    take(&mut bytes, 4);
                    Content::Single
                }
                other => panic!("a field of the type {other}"),
            };
            fields.push((key >> 3, content));
        }
        Self(fields)
    }

    fn all(&self, field: u64) -> impl Iterator<Item = &Content> {
        self.0.iter().filter(move |(number, _)| *number == field).map(|(_, content)| content)
    }

    pub fn messages(&self, field: u64) -> Vec<Self> {
        self.all(field).map(|content| Self::read(content.bytes())).collect()
    }

    fn texts(&self, field: u64) -> Vec<String> {
        self.all(field).map(|content| String::from_utf8(content.bytes().to_vec()).unwrap()).collect()
    }

    pub fn text(&self, field: u64) -> String {
        self.texts(field).pop().unwrap_or_default()
    }

    pub fn integers(&self, field: u64) -> Vec<u64> {
        self.all(field).map(|content| if let Content::Integer(value) = content { *value } else { panic!() }).collect()
    }
}

impl Content {
    fn bytes(&self) -> &[u8] {
        if let Self::Bytes(bytes) = self { bytes } else { panic!("not bytes: {self:?}") }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

/// A file of ONNX, read back.
pub struct Network {
    pub model: Message,
    pub graph: Message,
}

impl Network {
    pub fn read(place: &Workplace, name: &str) -> Self {
        let model = Message::read(&fs::read(place.path(name)).unwrap());
        let graph = model.messages(7).pop().unwrap();
        Self { model, graph }
    }

    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.model.messages(14).iter().map(|entry| (entry.text(1), entry.text(2))).collect()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.graph.messages(1).iter().map(|node| node.text(4)).collect()
    }

    /// The tensors by name: their shapes, and numbers as they are in the file.
    pub fn constants(&self) -> BTreeMap<String, (Vec<usize>, u64, Vec<u8>)> {
        let constant = |tensor: &Message| {
            let shape = tensor.integers(1).into_iter().map(|side| side as usize).collect();
            let bytes = tensor.all(9).next().unwrap().bytes().to_vec();
            (tensor.text(8), (shape, tensor.integers(2)[0], bytes))
        };
        self.graph.messages(5).iter().map(constant).collect()
    }

    /// Computes a perceptron with standardized input, and returns the output `name` as `[rows, numbers]`.
    pub fn computed(&self, input: &Tensor, name: &str) -> Vec<Vec<f64>> {
        let mut values: BTreeMap<String, Tensor> = BTreeMap::new();
        values.insert(self.graph.messages(11)[0].text(1), input.clone());
        for (name, (shape, kind, bytes)) in self.constants() {
            let dtype = if kind == 11 { DType::F64 } else { DType::F32 };
            let tensor = Tensor::from_raw_buffer(&bytes, dtype, &shape, &Device::Cpu).unwrap();
            values.insert(name, tensor.to_dtype(DType::F64).unwrap());
        }
        for node in self.graph.messages(1) {
            let inputs: Vec<&Tensor> = node.texts(1).iter().map(|name| &values[name]).collect();
            let x = inputs[0];
            let result = match node.text(4).as_str() {
                "Sub" => x.broadcast_sub(inputs[1]),
                "Div" => x.broadcast_div(inputs[1]),
                "Cast" | "Identity" => Ok(x.clone()),
                "Gemm" => x.matmul(&inputs[1].t().unwrap()).unwrap().broadcast_add(inputs[2]),
                "Relu" => x.relu(),
                "Softmax" => {
                    let weights = x.exp().unwrap();
                    weights.broadcast_div(&weights.sum_keepdim(1).unwrap())
                }
                "ArgMax" => continue,
                other => panic!("a node {other}"),
            };
            values.insert(node.text(2), result.unwrap());
        }
        values[name].to_vec2().unwrap()
    }
}
