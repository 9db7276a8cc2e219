//! A call in Python with literal arguments: `package.Class(1, name=[2, 3.5], other="text")`.
//!
//! Numbers may be joined by `+ - * / // % **`, and made whole by `int`. A name such as `optimizer` is read, so that it can
//! be left out or refused.

use super::error::LikeError;

/// Limit on calls and lists in one another; far beyond any use, and far below the limit of the stack.
const DEEPEST: usize = 30;

/// A call as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub path: String,
    pub positional: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

/// An argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Table(Vec<(Value, Value)>),
    Call(Call),
    /// A variable, which only the program knows.
    Name(String),
}

/// Reads a constructor; `name =` before it is passed over.
pub(super) fn parse(text: &str) -> Result<Call, LikeError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let mut value = parser.value()?;
    if matches!(value, Value::Name(_)) && parser.eat("=") {
        value = parser.value()?;
    }
    if parser.peek().is_some() {
        return Err(parser.expected("the end"));
    }
    match value {
        Value::Call(call) => Ok(call),
        _ => Err(parser.wrong("this is no call; write it with its arguments, such as StepLR(optimizer, step_size=30)")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    /// Reads a sum.
    fn value(&mut self) -> Result<Value, LikeError> {
        self.deeper()?;
        let mut sum = self.product()?;
        loop {
            let sign = if self.eat("+") {
                1.0
            } else if self.eat("-") {
                -1.0
            } else {
                break;
            };
            let term = self.product()?;
            sum = self.both(sum, term, |a, b| a + sign * b)?;
        }
        self.depth -= 1;
        Ok(sum)
    }

    fn deeper(&mut self) -> Result<(), LikeError> {
        self.depth += 1;
        match self.depth > DEEPEST {
            true => Err(self.wrong("calls, lists and signs are too deep in one another here")),
            false => Ok(()),
        }
    }

    fn product(&mut self) -> Result<Value, LikeError> {
        let mut product = self.power()?;
        loop {
            let join: fn(f64, f64) -> f64 = if self.eat("*") {
                |a, b| a * b
            } else if self.eat("//") {
                |a, b| (a / b).floor()
            } else if self.eat("/") {
                |a, b| a / b
            } else if self.eat("%") {
                f64::rem_euclid
            } else {
                return Ok(product);
            };
            let factor = self.power()?;
            product = self.both(product, factor, join)?;
        }
    }

    fn power(&mut self) -> Result<Value, LikeError> {
        if self.eat("-") {
            self.deeper()?;
            let negated = self.power()?;
            self.depth -= 1;
            return self.both(Value::Number(0.0), negated, |zero, x| zero - x);
        }
        let base = self.atom()?;
        if !self.eat("**") {
            return Ok(base);
        }
        self.deeper()?;
        let exponent = self.power()?;
        self.depth -= 1;
        self.both(base, exponent, f64::powf)
    }

    fn both(&self, a: Value, b: Value, join: impl Fn(f64, f64) -> f64) -> Result<Value, LikeError> {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => Ok(Value::Number(join(a, b))),
            _ => Err(self.wrong("only numbers can be computed with; write the result")),
        }
    }

    fn atom(&mut self) -> Result<Value, LikeError> {
        match self.peek() {
            Some('"' | '\'') => self.string().map(Value::Text),
            Some('[') => self.list("[", "]").map(Value::List),
            Some('(') => self.in_brackets(),
            Some('{') => self.table(),
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_alphabetic() || c == '_' => self.name(),
            _ => Err(self.expected("a value")),
        }
    }

    /// Reads a tuple, or a value in brackets.
    fn in_brackets(&mut self) -> Result<Value, LikeError> {
        let start = self.at;
        let mut items = self.list("(", ")")?;
        let is_tuple =
            self.text.get(start..self.at).is_some_and(|text| text.trim_end_matches(')').trim_end().ends_with(','));
        match items.pop() {
            Some(only) if items.is_empty() && !is_tuple => Ok(only),
            last => Ok(Value::List(items.into_iter().chain(last).collect())),
        }
    }

    fn list(&mut self, opening: &str, closing: &str) -> Result<Vec<Value>, LikeError> {
        self.eat(opening);
        let mut items = Vec::new();
        while !self.eat(closing) {
            items.push(self.value()?);
            self.comma(closing)?;
        }
        Ok(items)
    }

    fn table(&mut self) -> Result<Value, LikeError> {
        self.eat("{");
        let mut entries = Vec::new();
        while !self.eat("}") {
            let key = self.value()?;
            if !self.eat(":") {
                return Err(self.expected("`:`"));
            }
            entries.push((key, self.value()?));
            self.comma("}")?;
        }
        Ok(Value::Table(entries))
    }

    /// Reads a comma unless the list ends here.
    fn comma(&mut self, closing: &str) -> Result<(), LikeError> {
        if self.eat(",") || self.rest().starts_with(closing) {
            return Ok(());
        }
        Err(self.expected(&format!("`,` or `{closing}`")))
    }

    fn name(&mut self) -> Result<Value, LikeError> {
        let path = self.take(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
        match path.as_str() {
            "None" => return Ok(Value::None),
            "True" => return Ok(Value::Bool(true)),
            "False" => return Ok(Value::Bool(false)),
            "lambda" => return Err(self.wrong("a function is not read; write its formula as a schedule: expr(\"…\")")),
            _ => {}
        }
        if !self.eat("(") {
            return Ok(Value::Name(path));
        }
        let mut call = Call { path, positional: Vec::new(), named: Vec::new() };
        while !self.eat(")") {
            self.argument(&mut call)?;
            self.comma(")")?;
        }
        Ok(of_python(&call).unwrap_or(Value::Call(call)))
    }

    fn argument(&mut self, call: &mut Call) -> Result<(), LikeError> {
        let value = self.value()?;
        match value {
            Value::Name(name) if self.eat("=") => {
                let value = self.value()?;
                call.named.push((name, value));
            }
            _ if !call.named.is_empty() => {
                return Err(self.wrong("an argument without a name cannot follow one with a name"));
            }
            value => call.positional.push(value),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, LikeError> {
        let mut last = ' ';
        let digits = self.take(|c| {
            let is_sign = matches!(c, '+' | '-') && matches!(last, 'e' | 'E');
            last = c;
            c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || is_sign
        });
        let number = digits.replace('_', "").parse::<f64>().ok().filter(|number| number.is_finite());
        number.map(Value::Number).ok_or_else(|| self.wrong(&format!("`{digits}` is not a number")))
    }

    fn string(&mut self) -> Result<String, LikeError> {
        let quote = self.peek().unwrap_or('"');
        let inside = self.rest().get(1..).unwrap_or_default();
        let Some(end) = inside.find(quote) else {
            return Err(self.wrong("this string has no end"));
        };
        let text = inside.get(..end).unwrap_or_default().to_owned();
        self.at += end + 2;
        Ok(text)
    }

    fn take(&mut self, mut belongs: impl FnMut(char) -> bool) -> String {
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let taken = rest.get(..end).unwrap_or_default().to_owned();
        self.at += end;
        taken
    }

    /// Reads a token. `*` and `=` are not the beginnings of `**` and `==`.
    fn eat(&mut self, token: &str) -> bool {
        self.peek();
        let Some(after) = self.rest().strip_prefix(token) else { return false };
        if matches!(token, "*" | "=") && after.starts_with(token) {
            return false;
        }
        self.at += token.len();
        true
    }

    /// Skips space and comments, and returns the next character.
    fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        while self.rest().starts_with('#') {
            self.take(|c| c != '\n');
            self.at = self.text.len() - self.rest().trim_start().len();
        }
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, message: &str) -> LikeError {
        let read = self.text.get(..self.at).unwrap_or_default();
        LikeError::Syntax { at: read.chars().count() + 1, message: message.to_owned() }
    }

    fn expected(&mut self, what: &str) -> LikeError {
        let found = self.peek().map_or("the end".to_owned(), |c| format!("`{c}`"));
        self.wrong(&format!("expected {what}, found {found}"))
    }
}

/// Returns the value of a call that Python itself has: `int(2.5)` and `dict(a=1)`.
fn of_python(call: &Call) -> Option<Value> {
    match (call.path.as_str(), call.positional.as_slice(), call.named.as_slice()) {
        ("int", [Value::Number(x)], []) => Some(Value::Number(x.trunc())),
        ("round", [Value::Number(x)], []) => Some(Value::Number(x.round_ties_even())),
        ("float", [Value::Number(x)], []) => Some(Value::Number(*x)),
        ("dict", [], named) => {
            let entry = |(name, value): &(String, Value)| (Value::Text(name.clone()), value.clone());
            Some(Value::Table(named.iter().map(entry).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_as_python_reads_them() {
        let call =
            parse("s = a.B(opt, 1_000, -2e-1, x=[1, 2.5,], y='text', z=(1,), n=None, t=True, d={3: 0.5}, q=2*10**2/4)");
        let call = call.unwrap();
        assert_eq!(call.path, "a.B");
        assert_eq!(call.positional, [Value::Name("opt".into()), Value::Number(1000.0), Value::Number(-0.2)]);
        let named: Vec<Value> = call.named.iter().map(|(_, value)| value.clone()).collect();
        let one = Value::Number(1.0);
        let expected = [
            Value::List(vec![one.clone(), Value::Number(2.5)]),
            Value::Text("text".into()),
            Value::List(vec![one]),
            Value::None,
            Value::Bool(true),
            Value::Table(vec![(Value::Number(3.0), Value::Number(0.5))]),
            Value::Number(50.0),
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn a_length_may_be_computed_and_a_comment_may_stand_between() {
        let call = parse("A(100 // 3,  # a third\n  int(0.1 * 25), 7 % 4, 2**-1, -2**2, round(2.5))").unwrap();
        let numbers = [33.0, 2.0, 3.0, 0.5, -4.0, 2.0].map(Value::Number);
        assert_eq!(call.positional, numbers);
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let fault = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(fault("A(1"), "the constructor cannot be read at character 4: expected `,` or `)`, found the end");
        assert_eq!(
            fault("A(x=1, 2)"),
            "the constructor cannot be read at character 9: an argument without a name cannot follow one with a name"
        );
        assert!(fault("A('x)").contains("no end"));
        assert!(fault("step").contains("no call"));
        assert!(fault("A(lambda x: x)").contains("a function is not read"));
        assert!(fault(&format!("A({}", "[".repeat(100))).contains("too deep"));
        assert!(fault(&format!("A({}", "-".repeat(100_000))).contains("too"));
        assert!(fault(&format!("A({}", "2**".repeat(100_000))).contains("too deep"));
        assert!(fault("A(1 + x)").contains("only numbers"));
        assert!(fault("é(1").contains("character 4"));
    }
}
