//! Calls in pickles: the few functions whose results are plain values, and all others, which stay uncalled.

use super::super::super::tree::{Object, Place, Value};
use super::machine::Machine;
use super::{Refusal, names};

impl Machine<'_> {
    /// Returns the value that a call stands for.
    pub(super) fn call(&mut self, function: Place, arguments: Place) -> Result<Place, Refusal> {
        let arguments = self.tuple(arguments)?;
        let Some(name) = self.global_name(function).map(str::to_owned) else {
            // The result of one unknown function is called: `getattr(a class, the name of one inside it)`.
            return self.object(function, arguments);
        };
        self.spend(name.len())?;
        if let Some(made) = self.tensor_of(&name, &arguments)? {
            return Ok(made);
        }
        if let Some(made) = self.array_of(&name, &arguments)? {
            return Ok(made);
        }
        if let Some(made) = self.plain(&name, &arguments)? {
            return Ok(made);
        }
        if !names::may_stay_uncalled(&name) {
            return Err(Refusal::Unsupported(format!(
                "the file calls {name}, which may make a tensor of a kind that is not read; save it as a plain tensor"
            )));
        }
        self.object(function, arguments)
    }

    fn plain(&mut self, name: &str, arguments: &[Place]) -> Result<Option<Place>, Refusal> {
        let first = arguments.first().copied();
        let made = match (name, first) {
            ("collections.OrderedDict" | "collections.Counter", _) => self.kind_of_dict(name, first)?,
            ("builtins.dict", None) => self.add(Value::Dict(Vec::new()))?,
            ("builtins.list", None) => self.add(Value::List(Vec::new()))?,
            ("builtins.set" | "builtins.frozenset", None) => self.add(Value::Set(Vec::new()))?,
            ("builtins.tuple", None) => self.add(Value::Tuple(Vec::new()))?,
            ("builtins.bytes" | "builtins.bytearray", None) => self.add(Value::Bytes(Vec::new()))?,
            ("builtins.set" | "builtins.frozenset", Some(items)) => {
                let items = self.items(items)?;
                self.add(Value::Set(items))?
            }
            ("builtins.list", Some(items)) => {
                let items = self.items(items)?;
                self.add(Value::List(items))?
            }
            ("_codecs.encode" | "builtins.bytes" | "builtins.bytearray", Some(text)) => self.encoded(text)?,
            // These are what they are made of: a tuple, or text.
            ("torch.Size" | "builtins.tuple", Some(items)) if self.at(items).items().is_some() => {
                let items = self.items(items)?;
                self.add(Value::Tuple(items))?
            }
            ("torch.serialization._get_layout" | "torch.torch_version.TorchVersion" | "builtins.str", Some(text))
                if self.at(text).text().is_some() =>
            {
                text
            }
            ("builtins.int", Some(number)) if matches!(self.at(number).value(), Value::Int(_)) => number,
            ("builtins.float", Some(number)) if matches!(self.at(number).value(), Value::Float(_)) => number,
            ("copyreg._reconstructor", Some(class)) => self.reconstructed(class, arguments)?,
            ("copyreg.__newobj__", Some(class)) => self.object(class, arguments[1..].to_vec())?,
            _ if is_path(name) => self.path(arguments)?,
            _ => return Ok(None),
        };
        Ok(Some(made))
    }

    /// Returns the items of a list or the like, copied.
    fn items(&mut self, place: Place) -> Result<Vec<Place>, Refusal> {
        let (Value::List(items) | Value::Tuple(items) | Value::Set(items)) = self.at(place).value() else {
            return Err(Refusal::Damaged("a list is made of something that is no list".to_owned()));
        };
        let items = items.clone();
        self.spend(items.len() * size_of::<Place>())?;
        Ok(items)
    }

    /// An `OrderedDict` or `Counter`, also one that is made of a dict or of pairs.
    fn kind_of_dict(&mut self, class: &str, from: Option<Place>) -> Result<Place, Refusal> {
        let entries: Option<Vec<_>> = match from.map(|from| self.at(from)) {
            None => Some(Vec::new()),
            Some(from) => match from.entries() {
                Some(entries) => Some(entries.map(|(key, value)| (key.place(), value.place())).collect()),
                None => from.items().and_then(|pairs| {
                    let pair = |pair: super::super::super::tree::Ref<'_>| {
                        let mut parts = pair.items()?;
                        Some((parts.next()?.place(), parts.next()?.place()))
                    };
                    pairs.map(pair).collect()
                }),
            },
        };
        let entries = entries.ok_or_else(|| Refusal::Damaged(format!("{class} of something that is no dict")))?;
        self.spend(entries.len() * size_of::<(Place, Place)>() + size_of::<Object>())?;
        self.add(Object { class: class.to_owned(), entries, ..Object::default() })
    }

    /// Bytes that protocol 2 has as text, one character for each.
    fn encoded(&mut self, text: Place) -> Result<Place, Refusal> {
        let bytes: Option<Vec<u8>> = match self.at(text).value() {
            Value::Bytes(bytes) => Some(bytes.clone()),
            Value::Text(text) => text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect(),
            _ => None,
        };
        let bytes =
            bytes.ok_or_else(|| Refusal::Damaged("bytes that are made of something else than latin1".to_owned()))?;
        self.spend(bytes.len())?;
        self.add(Value::Bytes(bytes))
    }

    /// An instance as protocols 0 and 1 have it: its class, the builtin class below it, and the content for that.
    fn reconstructed(&mut self, class: Place, arguments: &[Place]) -> Result<Place, Refusal> {
        let made = self.object(class, Vec::new())?;
        let Some(content) = arguments.get(2) else { return Ok(made) };
        let entries: Option<Vec<_>> =
            (self.at(*content).entries()).map(|all| all.map(|(key, value)| (key.place(), value.place())).collect());
        let items: Option<Vec<_>> = self.at(*content).items().map(|items| items.map(|item| item.place()).collect());
        self.spend(8 * (entries.as_ref().map_or(0, Vec::len) + items.as_ref().map_or(0, Vec::len)))?;
        if let Value::Object(object) = self.tree.at_mut(made) {
            match (entries, items) {
                (Some(entries), _) => object.entries = entries,
                (None, Some(items)) => object.items = items,
                (None, None) => object.arguments = vec![*content],
            }
        }
        Ok(made)
    }

    /// A path in the file system, as text.
    fn path(&mut self, parts: &[Place]) -> Result<Place, Refusal> {
        let mut path = String::new();
        for part in parts {
            let part = self.at(*part).text();
            let part = part.ok_or_else(|| Refusal::Damaged("a path whose parts are no text".to_owned()))?.to_owned();
            self.spend(part.len() + 1)?;
            if !path.is_empty() && !path.ends_with('/') {
                path.push('/');
            }
            path.push_str(&part);
        }
        self.add(Value::Text(path))
    }
}

fn is_path(name: &str) -> bool {
    let class = name.strip_prefix("pathlib._local.").or_else(|| name.strip_prefix("pathlib."));
    matches!(class, Some("PosixPath" | "PurePosixPath" | "WindowsPath" | "PureWindowsPath" | "Path" | "PurePath"))
}
