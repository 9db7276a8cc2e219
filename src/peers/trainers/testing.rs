//! Small trees for the tests of trainers.

use crate::peers::tensor::Tensor;
use crate::peers::tree::{Place, Tree, Value};

/// A tree that is made by hand.
#[derive(Default)]
pub(super) struct Maker {
    pub(super) tree: Tree,
}

impl Maker {
    pub(super) fn add(&mut self, value: Value) -> Place {
        self.tree.add(value).unwrap()
    }

    pub(super) fn int(&mut self, number: i64) -> Place {
        self.add(Value::Int(number))
    }

    pub(super) fn float(&mut self, number: f64) -> Place {
        self.add(Value::Float(number))
    }

    pub(super) fn text(&mut self, text: &str) -> Place {
        self.add(Value::Text(text.to_owned()))
    }

    pub(super) fn bool(&mut self, flag: bool) -> Place {
        self.add(Value::Bool(flag))
    }

    pub(super) fn floats(&mut self, numbers: &[f64]) -> Place {
        let items = numbers.iter().map(|number| self.float(*number)).collect();
        self.add(Value::List(items))
    }

    pub(super) fn tensor(&mut self, shape: &[usize]) -> Place {
        let elements: usize = shape.iter().product();
        self.add(Value::from(Tensor::from_f32(shape, &vec![0.5; elements]).unwrap()))
    }

    pub(super) fn list(&mut self, items: &[Place]) -> Place {
        self.add(Value::List(items.to_vec()))
    }

    pub(super) fn dict(&mut self, entries: &[(&str, Place)]) -> Place {
        let entries = entries.iter().map(|(key, value)| (self.text(key), *value)).collect();
        self.add(Value::Dict(entries))
    }

    /// A state with integer keys.
    pub(super) fn numbered(&mut self, entries: &[(i64, Place)]) -> Place {
        let entries = entries.iter().map(|(key, value)| (self.int(*key), *value)).collect();
        self.add(Value::Dict(entries))
    }
}
