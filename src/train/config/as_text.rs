//! Values that are text in a configuration.

/// Makes a type that is read with `TryFrom<String>` and written with `Display` a text in configurations, and in their schema
/// one called `$name` of the form `$pattern`.
macro_rules! written_as_text {
    ($kind:ty, $name:literal, $pattern:literal) => {
        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }

        impl schemars::JsonSchema for $kind {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}

pub(super) use written_as_text;
