//! A file of ONNX: its messages, as `onnx.proto` numbers their fields.
//!
//! Opset 17 and IR 8 are the oldest that have all that is written here, and are read by the most programs.

use std::io::{self, Write};

use crate::protobuf::Message;
use crate::state::{Dtype, HostTensor};

const IR_VERSION: u64 = 8;
const OPSET: u64 = 17;
/// The name of the first dimension, which may have any length.
const BATCH: &str = "batch";

/// Type of the elements of a value, by its number in `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F32 = 1,
    I64 = 7,
    F64 = 11,
}

/// An attribute of a node.
pub(super) enum Attribute<'a> {
    Int(&'a str, i64),
    Ints(&'a str, &'a [usize]),
    Float(&'a str, f32),
}

impl Attribute<'_> {
    fn message(&self) -> Message {
        const FLOAT: u64 = 1;
        const INT: u64 = 2;
        const INTS: u64 = 7;
        let named = |name: &str, kind: u64| Message::default().blob(1, name.as_bytes()).integer(20, kind);
        match *self {
            Self::Float(name, value) => named(name, FLOAT).float(2, value),
            Self::Int(name, value) => named(name, INT).integer(3, value as u64),
            Self::Ints(name, values) => {
                values.iter().fold(named(name, INTS), |message, value| message.integer(8, *value as u64))
            }
        }
    }
}

/// A tensor of the file.
struct Constant {
    name: String,
    element: Element,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Constant {
    /// The fields before the elements, and the length of the whole message.
    fn head(&self) -> (Message, u64) {
        let dims = self.shape.iter().fold(Message::default(), |message, side| message.integer(1, *side as u64));
        let head = dims.integer(2, self.element as u64).blob(8, self.name.as_bytes());
        let head = head.begin(9, self.bytes.len() as u64);
        let length = head.bytes().len() as u64 + self.bytes.len() as u64;
        (head, length)
    }
}

/// A network that is put together node by node. Values are known by their names.
#[derive(Default)]
pub(super) struct Network {
    nodes: Vec<Message>,
    constants: Vec<Constant>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    metadata: Vec<Message>,
}

impl Network {
    /// Adds the input: a batch of rows of this shape.
    pub fn input(&mut self, name: &str, element: Element, row: &[usize]) -> String {
        self.inputs.push(batch_of(name, element, row));
        name.to_owned()
    }

    /// Makes the value `name` an output, for each row of this shape.
    pub fn output(&mut self, name: &str, element: Element, row: &[usize]) {
        self.outputs.push(batch_of(name, element, row));
    }

    /// Adds a node, and returns the name of its result.
    pub fn node(&mut self, kind: &str, inputs: &[&str], attributes: &[Attribute<'_>]) -> String {
        let name = format!("{}_{}", kind.to_lowercase(), self.nodes.len());
        self.named(&name, kind, inputs, attributes);
        name
    }

    /// Adds a node whose result has this name.
    pub fn named(&mut self, name: &str, kind: &str, inputs: &[&str], attributes: &[Attribute<'_>]) {
        let node = inputs.iter().fold(Message::default(), |node, input| node.blob(1, input.as_bytes()));
        let node = node.blob(2, name.as_bytes()).blob(3, name.as_bytes()).blob(4, kind.as_bytes());
        self.nodes.push(attributes.iter().fold(node, |node, attribute| node.message(5, &attribute.message())));
    }

    /// Adds a tensor of 32-bit numbers.
    pub fn f32s(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f32>) -> String {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.constant(name, Element::F32, shape, bytes)
    }

    /// Adds a tensor of 64-bit numbers.
    pub fn f64s(&mut self, name: &str, shape: &[usize], values: &[f64]) -> String {
        self.constant(name, Element::F64, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Adds a list of integers.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, Element::I64, &[values.len()], bytes)
    }

    /// Adds a weight under its name; `None` if it is not of 32-bit numbers.
    pub fn weight(&mut self, name: &str, tensor: HostTensor) -> Option<String> {
        if tensor.dtype != Dtype::F32 {
            return None;
        }
        Some(self.constant(name, Element::F32, &tensor.shape.clone(), tensor.bytes))
    }

    /// Whether a tensor of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.constants.iter().any(|constant| constant.name == name)
    }

    fn constant(&mut self, name: &str, element: Element, shape: &[usize], bytes: Vec<u8>) -> String {
        if !self.has(name) {
            self.constants.push(Constant { name: name.to_owned(), element, shape: shape.to_vec(), bytes });
        }
        name.to_owned()
    }

    /// Adds text for programs and people, under a key.
    pub fn metadata(&mut self, key: &str, text: &str) {
        self.metadata.push(Message::default().blob(1, key.as_bytes()).blob(2, text.as_bytes()));
    }

    /// Returns the head of the file, which ends where the graph's constants begin, and those with their heads.
    fn parts(&self) -> (Message, Vec<(Message, &[u8])>) {
        let part = |constant: &Constant| {
            let (head, length) = constant.head();
            Message::default().begin(5, length).followed_by(&head)
        };
        let heads: Vec<(Message, &[u8])> =
            self.constants.iter().map(|constant| (part(constant), constant.bytes.as_slice())).collect();
        let all = |field: u64, messages: &[Message], graph: Message| {
            messages.iter().fold(graph, |graph, message| graph.message(field, message))
        };
        let graph = all(1, &self.nodes, Message::default()).blob(2, b"rekindle");
        let graph = all(12, &self.outputs, all(11, &self.inputs, graph));
        let constants: usize = heads.iter().map(|(head, bytes)| head.bytes().len() + bytes.len()).sum();
        let opset = Message::default().integer(2, OPSET);
        let model = Message::default().integer(1, IR_VERSION).blob(2, b"rekindle");
        let model = model.blob(3, env!("CARGO_PKG_VERSION").as_bytes()).message(8, &opset);
        let model = all(14, &self.metadata, model).begin(7, (graph.bytes().len() + constants) as u64);
        (model.followed_by(&graph), heads)
    }

    /// Returns the length of the file in bytes.
    pub fn len(&self) -> u64 {
        let (head, constants) = self.parts();
        let constants: usize = constants.iter().map(|(head, bytes)| head.bytes().len() + bytes.len()).sum();
        (head.bytes().len() + constants) as u64
    }

    /// Writes the file. Weights are not copied.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (head, constants) = self.parts();
        out.write_all(head.bytes())?;
        for (head, bytes) in constants {
            out.write_all(head.bytes())?;
            out.write_all(bytes)?;
        }
        Ok(())
    }
}

/// The description of a value: any number of rows of this shape.
fn batch_of(name: &str, element: Element, row: &[usize]) -> Message {
    let side = |side: &usize| Message::default().integer(1, *side as u64);
    let batch = Message::default().message(1, &Message::default().blob(2, BATCH.as_bytes()));
    let shape = row.iter().fold(batch, |shape, length| shape.message(1, &side(length)));
    let tensor = Message::default().integer(1, element as u64).message(2, &shape);
    Message::default().blob(1, name.as_bytes()).message(2, &Message::default().message(1, &tensor))
}
