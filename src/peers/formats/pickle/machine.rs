//! The stack machine of pickles, on places of a [`Tree`] in place of Python's objects.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::super::tensor::{Dtype, Storage, Tensor};
use super::super::super::tree::{Place, Ref, Tree, Value};
use super::instances::pairs;
use super::opcode::{Input, Opcode};
use super::{Refusal, Storages, tensors};

/// Bytes that may be copied in addition to those proportional to the file.
const COPIES: usize = 1 << 16;

/// Bytes that may be copied for each byte of the file. Files of trainers need about 4.
const COPIES_PER_BYTE: usize = 64;

/// Reads one pickle, and returns its values and its length in bytes.
///
/// # Errors
/// It is damaged, or holds something that is not read; the message has the place.
pub fn read(bytes: &[u8], storages: &mut dyn Storages) -> Result<(Tree, usize), Refusal> {
    let mut machine = Machine::new(bytes, storages)?;
    loop {
        let start = machine.input.place();
        let byte = machine.input.byte().map_err(|_| Refusal::Damaged(format!("byte {start}: it ends without STOP")))?;
        let opcode = Opcode::of(byte);
        let opcode = opcode.ok_or_else(|| Refusal::Damaged(format!("byte {start}: {byte:#04x} is no opcode")))?;
        if opcode == Opcode::STOP {
            break;
        }
        machine.step(opcode).map_err(|error| error.within(&format!("byte {start}, {opcode:?}")))?;
    }
    let root = machine.pop().map_err(|error| error.within("STOP"))?;
    machine.finish(root)
}

/// A storage that the pickle refers to.
#[derive(Clone)]
pub(super) struct Held {
    /// The element type; `None` where the storage has none, and tensors say it.
    pub(super) dtype: Option<Dtype>,
    /// The element in it that counts as the first.
    pub(super) start: usize,
    /// The numbers; `None` where only the structure is asked for.
    pub(super) storage: Option<Arc<Storage>>,
}

/// The machine's state.
pub(super) struct Machine<'a> {
    pub(super) input: Input<'a>,
    pub(super) tree: Tree,
    pub(super) stack: Vec<Place>,
    /// Heights of the stack at the marks that are open.
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u32, Place>,
    /// Classes and functions, which are values too.
    pub(super) named: HashMap<String, Place>,
    pub(super) globals: HashSet<Place>,
    pub(super) held: HashMap<Place, Held>,
    pub(super) storages: &'a mut dyn Storages,
    /// Values that many places share: they cannot be changed.
    pub(super) none: Place,
    pub(super) truths: [Place; 2],
    pub(super) empty: Place,
    pub(super) small: Vec<Option<Place>>,
    /// Bytes that may still be copied.
    budget: usize,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8], storages: &'a mut dyn Storages) -> Result<Self, Refusal> {
        let mut tree = Tree::default();
        let none = tree.add(Value::Null)?;
        let truths = [tree.add(Value::Bool(false))?, tree.add(Value::Bool(true))?];
        let empty = tree.add(Value::Tuple(Vec::new()))?;
        Ok(Self {
            input: Input::new(bytes),
            tree,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            named: HashMap::new(),
            globals: HashSet::new(),
            held: HashMap::new(),
            storages,
            none,
            truths,
            empty,
            small: vec![None; 256],
            budget: bytes.len().saturating_mul(COPIES_PER_BYTE).saturating_add(COPIES),
        })
    }

    /// Storages that stand in the data by themselves become tensors, and `root` the root.
    fn finish(mut self, root: Place) -> Result<(Tree, usize), Refusal> {
        for (place, held) in std::mem::take(&mut self.held) {
            let Some(storage) = held.storage else { continue };
            let dtype = held.dtype.unwrap_or(Dtype::U8);
            let elements = storage.bytes().len() / tensors::bytes_of(dtype)?;
            *self.tree.at_mut(place) = Tensor::contiguous(dtype, vec![elements], storage)?.into();
        }
        self.tree.set_root(root);
        Ok((self.tree, self.input.place()))
    }

    fn step(&mut self, opcode: Opcode) -> Result<(), Refusal> {
        use Opcode as O;
        match opcode {
            O::PROTO => self.protocol(),
            O::FRAME => self.input.take(8).map(drop),
            O::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            O::POP => self.discard(),
            O::POP_MARK => self.pop_to_mark().map(drop),
            O::DUP => self.top().map(|place| self.stack.push(place)),
            O::NONE => self.push(self.none),
            O::NEWTRUE => self.push(self.truths[1]),
            O::NEWFALSE => self.push(self.truths[0]),
            O::EMPTY_TUPLE => self.push(self.empty),
            O::INT | O::BININT | O::BININT1 | O::BININT2 | O::LONG | O::LONG1 | O::LONG4 | O::FLOAT | O::BINFLOAT => {
                self.number(opcode)
            }
            O::STRING
            | O::BINSTRING
            | O::SHORT_BINSTRING
            | O::UNICODE
            | O::BINUNICODE
            | O::SHORT_BINUNICODE
            | O::BINUNICODE8
            | O::BINBYTES
            | O::SHORT_BINBYTES
            | O::BINBYTES8
            | O::BYTEARRAY8 => self.string(opcode),
            O::EMPTY_LIST => self.push_new(Value::List(Vec::new())),
            O::EMPTY_DICT => self.push_new(Value::Dict(Vec::new())),
            O::EMPTY_SET => self.push_new(Value::Set(Vec::new())),
            O::LIST => self.pop_to_mark().and_then(|items| self.push_new(Value::List(items))),
            O::TUPLE => self.pop_to_mark().and_then(|items| self.push_tuple(items)),
            O::FROZENSET => self.pop_to_mark().and_then(|items| self.push_new(Value::Set(items))),
            O::TUPLE1 => self.pop_many(1).and_then(|items| self.push_tuple(items)),
            O::TUPLE2 => self.pop_many(2).and_then(|items| self.push_tuple(items)),
            O::TUPLE3 => self.pop_many(3).and_then(|items| self.push_tuple(items)),
            O::DICT => {
                let entries = pairs(self.pop_to_mark()?)?;
                self.push_new(Value::Dict(entries))
            }
            O::APPEND => self.pop_many(1).and_then(|items| self.append(items)),
            O::APPENDS | O::ADDITEMS => self.pop_to_mark().and_then(|items| self.append(items)),
            O::SETITEM => self.pop_many(2).and_then(|items| self.set_items(items)),
            O::SETITEMS => self.pop_to_mark().and_then(|items| self.set_items(items)),
            O::GET | O::BINGET | O::LONG_BINGET => self.get(opcode),
            O::PUT | O::BINPUT | O::LONG_BINPUT | O::MEMOIZE => self.put(opcode),
            O::GLOBAL | O::STACK_GLOBAL => self.global(opcode),
            O::REDUCE | O::NEWOBJ | O::NEWOBJ_EX | O::OBJ | O::INST => self.instance(opcode),
            O::BUILD => self.build(),
            O::PERSID | O::BINPERSID => self.persistent(opcode),
            O::EXT1 | O::EXT2 | O::EXT4 => Err(Refusal::Unsupported(
                "a class by a number of Python's extension registry, which no file holds".to_owned(),
            )),
            O::NEXT_BUFFER | O::READONLY_BUFFER => {
                Err(Refusal::Unsupported("a buffer outside of the pickle; save without `buffer_callback`".to_owned()))
            }
            O::STOP => Ok(()),
        }
    }

    fn protocol(&mut self) -> Result<(), Refusal> {
        match self.input.byte()? {
            0..=5 => Ok(()),
            newer => Err(Refusal::Unsupported(format!("protocol {newer}; 0 to 5 are read"))),
        }
    }

    /// Takes bytes that may be copied.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Refusal> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or_else(|| Refusal::Damaged("it copies values without end".to_owned()))?;
        Ok(())
    }

    pub(super) fn add(&mut self, value: impl Into<Value>) -> Result<Place, Refusal> {
        Ok(self.tree.add(value.into())?)
    }

    pub(super) fn at(&self, place: Place) -> Ref<'_> {
        self.tree.at(place)
    }

    pub(super) fn null(&self) -> Place {
        self.none
    }
}
