//! Classes and their instances, content of lists and dicts, and references to storages.

use super::super::super::tree::{Object, Place, Value};
use super::machine::{Held, Machine};
use super::opcode::Opcode;
use super::stack::nothing_there;
use super::{Refusal, Wanted, names, tensors};

impl Machine<'_> {
    pub(super) fn global(&mut self, opcode: Opcode) -> Result<(), Refusal> {
        if opcode == Opcode::GLOBAL {
            let (module, name) = (self.input.line()?, self.input.line()?);
            let place = self.class(module, name)?;
            return self.push(place);
        }
        let parts = self.pop_many(2)?;
        let text = |place: &Place| self.at(*place).text().map(str::to_owned);
        let [Some(module), Some(name)] = [text(&parts[0]), text(&parts[1])] else {
            return Err(Refusal::Damaged("a class whose name is no text".to_owned()));
        };
        let place = self.class(&module, &name)?;
        self.push(place)
    }

    /// Returns the place of a class or function, which is only a name.
    pub(super) fn class(&mut self, module: &str, name: &str) -> Result<Place, Refusal> {
        let class = names::data(module, name)?;
        if let Some(place) = self.named.get(&class) {
            return Ok(*place);
        }
        let place = self.add(Object { class: class.clone(), ..Object::default() })?;
        self.named.insert(class, place);
        self.globals.insert(place);
        Ok(place)
    }

    /// Returns the name of a class or function.
    pub(super) fn global_name(&self, place: Place) -> Option<&str> {
        let object = self.globals.contains(&place).then(|| self.at(place).object())?;
        object.map(|object| object.class.as_str())
    }

    pub(super) fn instance(&mut self, opcode: Opcode) -> Result<(), Refusal> {
        let made = match opcode {
            Opcode::REDUCE => {
                let parts = self.pop_many(2)?;
                self.call(parts[0], parts[1])?
            }
            Opcode::NEWOBJ => {
                let parts = self.pop_many(2)?;
                let arguments = self.tuple(parts[1])?;
                self.object(parts[0], arguments)?
            }
            Opcode::NEWOBJ_EX => {
                // Arguments by keyword stay as the last argument.
                let parts = self.pop_many(3)?;
                let mut arguments = self.tuple(parts[1])?;
                arguments.push(parts[2]);
                self.object(parts[0], arguments)?
            }
            Opcode::OBJ => {
                let mut arguments = self.pop_to_mark()?;
                if arguments.is_empty() {
                    return Err(nothing_there());
                }
                let class = arguments.remove(0);
                self.object(class, arguments)?
            }
            _ => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                let class = self.class(module, name)?;
                let arguments = self.pop_to_mark()?;
                self.object(class, arguments)?
            }
        };
        self.push(made)
    }

    /// Returns the items of a tuple, copied.
    pub(super) fn tuple(&mut self, place: Place) -> Result<Vec<Place>, Refusal> {
        let Value::Tuple(items) = self.at(place).value() else {
            return Err(Refusal::Damaged("arguments that are no tuple".to_owned()));
        };
        let items = items.clone();
        self.spend(items.len() * size_of::<Place>())?;
        Ok(items)
    }

    /// Returns an instance of a class, or what an unknown function would return, as a named object.
    pub(super) fn object(&mut self, class: Place, arguments: Vec<Place>) -> Result<Place, Refusal> {
        let class = match self.at(class).object() {
            Some(object) => object.class.clone(),
            None => return Err(Refusal::Damaged("an instance of something that is no class".to_owned())),
        };
        self.spend(class.len() + size_of::<Object>())?;
        self.add(Object { class, arguments, ..Object::default() })
    }

    pub(super) fn append(&mut self, items: Vec<Place>) -> Result<(), Refusal> {
        let target = self.changeable()?;
        match self.tree.at_mut(target) {
            Value::List(list) | Value::Set(list) => list.extend(items),
            Value::Object(object) => object.items.extend(items),
            _ => return Err(Refusal::Damaged("items for something that is no list".to_owned())),
        }
        Ok(())
    }

    pub(super) fn set_items(&mut self, items: Vec<Place>) -> Result<(), Refusal> {
        let entries = pairs(items)?;
        let target = self.changeable()?;
        match self.tree.at_mut(target) {
            Value::Dict(dict) => dict.extend(entries),
            Value::Object(object) => object.entries.extend(entries),
            _ => return Err(Refusal::Damaged("entries for something that is no dict".to_owned())),
        }
        Ok(())
    }

    /// Returns the value on top, which is to be filled: classes, and values that are shared, cannot be.
    pub(super) fn changeable(&self) -> Result<Place, Refusal> {
        let top = self.top()?;
        if self.globals.contains(&top) || self.held.contains_key(&top) {
            return Err(Refusal::Damaged("a class, a function or a storage is to be changed".to_owned()));
        }
        Ok(top)
    }

    pub(super) fn build(&mut self) -> Result<(), Refusal> {
        let state = self.pop()?;
        let target = self.changeable()?;
        if self.fill_array(target, state)? {
            return Ok(());
        }
        let state = self.merged_slots(state)?;
        match self.tree.at_mut(target) {
            Value::Object(object) => object.state = Some(state),
            // Attributes of a tensor, such as those of a subclass, change none of its numbers.
            Value::Tensor(_) | Value::Null => {}
            _ => return Err(Refusal::Damaged("attributes for something that has no attributes".to_owned())),
        }
        Ok(())
    }

    /// Returns one dict for a state of two, which is how a class with `__slots__` is saved.
    pub(super) fn merged_slots(&mut self, state: Place) -> Result<Place, Refusal> {
        let Value::Tuple(parts) = self.at(state).value() else { return Ok(state) };
        let [attributes, slots] = parts[..] else { return Ok(state) };
        let merged = match (self.at(attributes).value(), self.at(slots).value()) {
            (Value::Null, Value::Dict(_)) => return Ok(slots),
            (Value::Dict(first), Value::Dict(second)) => [&first[..], &second[..]].concat(),
            _ => return Ok(state),
        };
        self.spend(merged.len() * size_of::<(Place, Place)>())?;
        self.add(Value::Dict(merged))
    }

    /// Puts a storage on the stack: `("storage", class, key, device, elements)`, in old files with a view of it.
    pub(super) fn persistent(&mut self, opcode: Opcode) -> Result<(), Refusal> {
        if opcode == Opcode::PERSID {
            return Err(Refusal::Unsupported("a reference by text to something outside of the pickle".to_owned()));
        }
        let id = self.pop()?;
        let id = self.tuple(id)?;
        let malformed = || Refusal::Damaged("a reference to something that is no storage".to_owned());
        let [kind, class, key, _, elements, ref view @ ..] = id[..] else { return Err(malformed()) };
        if self.at(kind).text() != Some("storage") {
            return Err(malformed());
        }
        let class = self.global_name(class).ok_or_else(malformed)?.to_owned();
        let dtype = tensors::storage_dtype(&class)?;
        let element_bytes = dtype.map_or(Ok(1), tensors::bytes_of)?;
        let elements = tensors::length(self.at(elements)).ok_or_else(malformed)?;
        let key = match self.at(key).value() {
            Value::Text(key) => key.clone(),
            Value::Int(key) => key.to_string(),
            _ => return Err(malformed()),
        };
        self.spend(key.len() + class.len() + size_of::<Object>())?;
        let start = match view.first().map(|view| self.at(*view)) {
            // The view's key, its first element, and its length.
            Some(view) if !view.is_null() => {
                view.items().and_then(|mut parts| parts.nth(1)).and_then(tensors::length).ok_or_else(malformed)?
            }
            _ => 0,
        };
        let storage = self.storages.storage(Wanted { key: &key, elements, element_bytes })?;
        let place = self.add(Object { class, ..Object::default() })?;
        self.held.insert(place, Held { dtype, start, storage });
        self.push(place)
    }
}

/// Returns keys with their values.
pub(super) fn pairs(items: Vec<Place>) -> Result<Vec<(Place, Place)>, Refusal> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        return Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect());
    }
    Err(Refusal::Damaged("a key without a value".to_owned()))
}
