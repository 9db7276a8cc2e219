//! Templates of text: `{field}` stands for the text of a field, `{{` and `}}` for braces.

/// A template, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(pub Vec<Part>);

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Field(String),
}

impl Part {
    /// Returns the name of a field.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Field(field) => Some(field),
        }
    }
}

impl Template {
    /// Returns the parts before a field, and those after it.
    pub fn around(&self, field: &str) -> (&[Part], &[Part]) {
        let place = self.0.iter().position(|part| part.field() == Some(field)).unwrap_or(self.0.len());
        (&self.0[..place], self.0.get(place + 1..).unwrap_or_default())
    }

    /// Reads a template that must have the field `required` once.
    ///
    /// # Errors
    /// In words, as the end of a sentence about the template.
    pub fn new(template: &str, required: &str) -> Result<Self, String> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut rest = template.chars();
        while let Some(character) = rest.next() {
            match (character, rest.clone().next()) {
                ('{' | '}', Some(next)) if next == character => {
                    rest.next();
                    text.push(character);
                }
                ('{', _) => {
                    let (field, after) = rest
                        .as_str()
                        .split_once('}')
                        .ok_or("has a `{` without its `}`; write `{{` for the character")?;
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Field(field.trim().to_owned()));
                    rest = after.chars();
                }
                ('}', _) => return Err("has a `}` without its `{`; write `}}` for the character".to_owned()),
                _ => text.push(character),
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        let count = parts.iter().filter(|part| matches!(part, Part::Field(field) if field == required)).count();
        match count {
            1 => Ok(Self(parts)),
            0 => Err(format!("has no `{{{required}}}`, the text that is learned")),
            _ => Err(format!("has `{{{required}}}` {count} times, and it can stand in one place")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_braces_are_told_apart() {
        let (text, field) = (|text: &str| Part::Text(text.to_owned()), |name: &str| Part::Field(name.to_owned()));
        let template = Template::new("{{Q}} {prompt}\nA: { answer }.", "answer").unwrap();
        assert_eq!(template.0, [text("{Q} "), field("prompt"), text("\nA: "), field("answer"), text(".")]);
    }

    #[test]
    fn a_template_needs_its_field_once_and_its_braces_in_pairs() {
        let refusal = |template: &str| Template::new(template, "answer").unwrap_err();
        assert!(refusal("{prompt}").contains("no `{answer}`"));
        assert!(refusal("{answer}{answer}").contains("2 times"));
        assert!(refusal("{answer").contains("without its `}`"));
        assert!(refusal("answer}").contains("without its `{`"));
    }
}
