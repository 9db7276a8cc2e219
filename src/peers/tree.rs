//! Values that a file holds, as a tree with references: pickles, JSON, MessagePack and the groups of HDF5 all become one.
//!
//! A value may stand at several places, and even inside itself, as in a pickle. So values are in one list, and name each
//! other by their [`Place`] in it; nothing is copied, and a file's references cost no memory.

use super::tensor::Tensor;

/// Place of a value in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(u32);

/// A value, whose members are places in the tree.
#[derive(Clone, Debug)]
pub enum Value {
    /// No value: `None`, `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of at most 64 bits with sign.
    Int(i64),
    /// An integer beyond that, in decimal.
    BigInt(String),
    /// A number; it may be infinite or not a number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes that are no text.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Place>),
    /// A tuple.
    Tuple(Vec<Place>),
    /// A set, in the order of the file.
    Set(Vec<Place>),
    /// Keys and values, in the order of the file.
    Dict(Vec<(Place, Place)>),
    /// A tensor or an array. Boxed, as objects are: a value is small, since a hostile file has one for every byte.
    Tensor(Box<Tensor>),
    /// An instance of a class, or what a function returned: named, never made. A class or function itself is one
    /// without arguments and state.
    Object(Box<Object>),
}

impl Value {
    /// Returns the places of a tuple's items.
    pub fn tuple(&self) -> Option<&[Place]> {
        match self {
            Self::Tuple(items) => Some(items),
            _ => None,
        }
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(Box::new(tensor))
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(Box::new(object))
    }
}

/// An instance of a class in a pickle, with all that its file says of it.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// The class or function by its full name, such as `argparse.Namespace`.
    pub class: String,
    /// The arguments that it is made with.
    pub arguments: Vec<Place>,
    /// Its attributes, or another state; a dict in most cases.
    pub state: Option<Place>,
    /// Items, where it is a kind of list.
    pub items: Vec<Place>,
    /// Keys and values, where it is a kind of dict, as an `OrderedDict` is.
    pub entries: Vec<(Place, Place)>,
}

/// Values that name each other by place, and one of them as root.
#[derive(Clone, Debug)]
pub struct Tree {
    values: Vec<Value>,
    root: Place,
}

impl Default for Tree {
    fn default() -> Self {
        Self { values: vec![Value::Null], root: Place(0) }
    }
}

/// Most values that a tree may have: a run of 100,000 tensors has a tenth of them.
pub const MOST_VALUES: usize = 20_000_000;

impl Tree {
    /// Adds a value.
    ///
    /// # Errors
    /// There are too many.
    pub fn add(&mut self, value: Value) -> Result<Place, String> {
        if self.values.len() >= MOST_VALUES {
            return Err(format!("there are more than {MOST_VALUES} values"));
        }
        self.values.push(value);
        Ok(Place((self.values.len() - 1) as u32))
    }

    /// Returns the value at `place`, to fill it in.
    pub fn at_mut(&mut self, place: Place) -> &mut Value {
        &mut self.values[place.0 as usize]
    }

    /// Returns a reference to the value at `place`.
    pub fn at(&self, place: Place) -> Ref<'_> {
        Ref { tree: self, place }
    }

    /// Makes the value at `place` the root.
    pub fn set_root(&mut self, place: Place) {
        self.root = place;
    }

    /// Returns the root.
    pub fn root(&self) -> Ref<'_> {
        self.at(self.root)
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns whether nothing was added to it.
    pub fn is_empty(&self) -> bool {
        self.values.len() <= 1
    }

    /// Adds all values of `other` and returns the place of its root.
    ///
    /// # Errors
    /// There are too many.
    pub fn graft(&mut self, other: Self) -> Result<Place, String> {
        if self.values.len() + other.values.len() > MOST_VALUES {
            return Err(format!("there are more than {MOST_VALUES} values"));
        }
        let by = self.values.len() as u32;
        let moved = |place: &mut Place| place.0 += by;
        for mut value in other.values {
            match &mut value {
                Value::List(items) | Value::Tuple(items) | Value::Set(items) => items.iter_mut().for_each(moved),
                Value::Dict(entries) => entries.iter_mut().for_each(|(key, value)| {
                    moved(key);
                    moved(value);
                }),
                Value::Object(object) => {
                    object.arguments.iter_mut().chain(&mut object.items).for_each(moved);
                    object.state.iter_mut().for_each(moved);
                    object.entries.iter_mut().for_each(|(key, value)| {
                        moved(key);
                        moved(value);
                    });
                }
                _ => {}
            }
            self.values.push(value);
        }
        Ok(Place(other.root.0 + by))
    }
}

/// A value in a tree. What is read of it is `None` where the value is of another kind.
#[derive(Clone, Copy, Debug)]
pub struct Ref<'a> {
    tree: &'a Tree,
    place: Place,
}

impl<'a> Ref<'a> {
    /// Returns its place, by which two references to one value are known.
    pub fn place(self) -> Place {
        self.place
    }

    /// Returns the value.
    pub fn value(self) -> &'a Value {
        &self.tree.values[self.place.0 as usize]
    }

    /// Returns whether there is no value.
    pub fn is_null(self) -> bool {
        matches!(self.value(), Value::Null)
    }

    /// Returns text.
    pub fn text(self) -> Option<&'a str> {
        match self.value() {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns a truth value.
    pub fn bool(self) -> Option<bool> {
        match self.value() {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns an integer, also one that is a tensor of one element or a number without a fraction.
    pub fn int(self) -> Option<i64> {
        match self.value() {
            Value::Int(value) => Some(*value),
            _ => self.number().filter(|value| value.fract() == 0.0 && value.abs() < 9e15).map(|value| value as i64),
        }
    }

    /// Returns a number: an integer, a float, or a tensor of one element.
    pub fn number(self) -> Option<f64> {
        match self.value() {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            Value::Tensor(tensor) => tensor.scalar(),
            _ => None,
        }
    }

    /// Returns the numbers of a list, a tuple, or a tensor of one dimension.
    pub fn numbers(self) -> Option<Vec<f64>> {
        match self.value() {
            Value::Tensor(tensor) if tensor.shape().len() == 1 => tensor.to_f64().ok(),
            _ => self.items()?.map(Self::number).collect(),
        }
    }

    /// Returns a tensor.
    pub fn tensor(self) -> Option<&'a Tensor> {
        match self.value() {
            Value::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// Returns an instance of a class.
    pub fn object(self) -> Option<&'a Object> {
        match self.value() {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns the items of a list, a tuple or a set, also of a class of the kind.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Ref<'a>>> {
        let places = match self.value() {
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => items,
            Value::Object(object) if !object.items.is_empty() => &object.items,
            _ => return None,
        };
        Some(places.iter().map(move |place| self.tree.at(*place)))
    }

    /// Returns keys and values of a dict, also of a class of the kind, such as `OrderedDict`.
    pub fn entries(self) -> Option<impl ExactSizeIterator<Item = (Ref<'a>, Ref<'a>)>> {
        let places = match self.value() {
            Value::Dict(entries) => entries,
            Value::Object(object) if !object.entries.is_empty() || object.is_dict() => &object.entries,
            _ => return None,
        };
        Some(places.iter().map(move |(key, value)| (self.tree.at(*key), self.tree.at(*value))))
    }

    /// Returns the value of a dict under `key`, or an object's attribute of that name. If a key is there twice, the
    /// last one counts, as in Python.
    pub fn get(self, key: &str) -> Option<Ref<'a>> {
        if let Some(found) =
            self.entries().and_then(|entries| entries.filter(|(name, _)| name.text() == Some(key)).last())
        {
            return Some(found.1);
        }
        let state = self.object()?.state.filter(|state| *state != self.place)?;
        let state = self.tree.at(state);
        match state.value() {
            Value::Dict(_) => state.get(key),
            _ => None,
        }
    }

    /// Returns the value at a path of keys.
    pub fn at(self, path: &[&str]) -> Option<Ref<'a>> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Returns the attributes of an object, or the entries of a dict.
    pub fn attributes(self) -> Option<impl ExactSizeIterator<Item = (Ref<'a>, Ref<'a>)>> {
        let holder = match self.value() {
            Value::Object(object) if object.entries.is_empty() => self.tree.at(object.state?),
            _ => self,
        };
        holder.entries()
    }

    /// Returns another value of the same tree.
    pub fn other(self, place: Place) -> Ref<'a> {
        self.tree.at(place)
    }
}

impl Object {
    fn is_dict(&self) -> bool {
        matches!(self.class.rsplit('.').next(), Some("OrderedDict" | "defaultdict" | "Counter"))
    }
}
