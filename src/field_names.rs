//! Names of a struct's fields, from serde.

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor, value::Error};
use serde::forward_to_deserialize_any;

/// Returns the names of the fields that `T` is read from, in order, or an error if it has none.
pub(crate) fn field_names<T: DeserializeOwned>() -> Result<&'static [&'static str], String> {
    let mut names = None;
    // Always fails, after the names are recorded.
    let _ = T::deserialize(Names(&mut names));
    names.ok_or_else(|| "its fields are not known; derive `Deserialize` for a struct with named fields".to_owned())
}

/// A deserializer that records the names of fields and yields no data.
struct Names<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Some(fields);
        Err(Error::custom("only the names are wanted"))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, _visitor: V) -> Result<V::Value, Error> {
        *self.0 = Some(&[]);
        Err(Error::custom("only the names are wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("it is not a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}
