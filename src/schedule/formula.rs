//! Formulas of `t` and `base`, read and evaluated: what [`Expr`](super::kinds::Expr) follows.
//!
//! ```text
//! formula  = operand { operator operand }     operators: + -, then * / %, then ^ (or **), which binds most tightly
//! operand  = { "-" | "+" } ( number | name | name "(" formula { "," formula } ")" | "(" formula ")" )
//! ```
//!
//! It reads as Python does: `-t^2` is `-(t^2)`, `2^3^2` is `2^(3^2)`, `2^-1` is a half. The grammar is our own because
//! the expression crates that we tried read the first of these as `(-t)^2`, some the second as `(2^3)^2`, some know no
//! `1e-3`, and none says where in the formula the fault is. There is nothing that a formula could call or change.

use std::f64::consts::PI;

use super::error::suggestion;

/// The longest formula in bytes. It bounds the depth of the tree as well.
const LONGEST: usize = 1000;

/// Parentheses, signs and powers in one another; far beyond any use, and far from the end of the stack.
const DEEPEST: usize = 50;

/// How tightly the operators bind.
const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const SIGN: u8 = 3;
const POWER: u8 = 4;

/// A formula that has been read.
#[derive(Debug)]
pub(crate) enum Formula {
    Number(f64),
    T,
    Base,
    One(fn(f64) -> f64, Box<Formula>),
    Two(fn(f64, f64) -> f64, Box<[Formula; 2]>),
}

/// What is wrong with a formula, and at which byte.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    pub message: String,
    pub at: usize,
}

impl Formula {
    pub fn read(text: &str) -> Result<Self, Fault> {
        if text.len() > LONGEST {
            return Err(Fault { message: format!("a formula has at most {LONGEST} characters"), at: LONGEST });
        }
        let mut reader = Reader { text, at: 0, depth: 0 };
        let formula = reader.formula(SUM)?;
        match reader.peek() {
            None => Ok(formula),
            Some(_) => Err(reader.expected("an operator or the end")),
        }
    }

    pub fn value(&self, t: f64, base: f64) -> f64 {
        match self {
            Self::Number(x) => *x,
            Self::T => t,
            Self::Base => base,
            Self::One(function, x) => function(x.value(t, base)),
            Self::Two(function, operands) => {
                let [a, b] = &**operands;
                function(a.value(t, base), b.value(t, base))
            }
        }
    }

    fn two(function: fn(f64, f64) -> f64, a: Self, b: Self) -> Self {
        Self::Two(function, Box::new([a, b]))
    }
}

/// A function by the number of its arguments.
#[derive(Clone, Copy)]
enum Function {
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
    /// Two or more, taken together from the left.
    Several(fn(f64, f64) -> f64),
}

const VARIABLES: [&str; 3] = ["t", "base", "pi"];

const FUNCTIONS: [(&str, Function); 16] = [
    ("sqrt", Function::One(f64::sqrt)),
    ("exp", Function::One(f64::exp)),
    ("ln", Function::One(f64::ln)),
    ("log10", Function::One(f64::log10)),
    ("log2", Function::One(f64::log2)),
    ("sin", Function::One(f64::sin)),
    ("cos", Function::One(f64::cos)),
    ("tan", Function::One(f64::tan)),
    ("tanh", Function::One(f64::tanh)),
    ("abs", Function::One(f64::abs)),
    ("floor", Function::One(f64::floor)),
    ("ceil", Function::One(f64::ceil)),
    ("round", Function::One(f64::round)),
    ("pow", Function::Two(f64::powf)),
    ("min", Function::Several(least)),
    ("max", Function::Several(greatest)),
];

/// The lesser one; unlike `f64::min`, NaN where either is.
fn least(a: f64, b: f64) -> f64 {
    if b < a || b.is_nan() { b } else { a }
}

fn greatest(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

/// An operator between operands: how it is written, how tightly it binds, and from where on the right-hand side may.
type Operator = (&'static str, u8, u8, fn(f64, f64) -> f64);

/// `**` stands before `*`, so that it is seen first. The rest of a division has the sign of the divisor, as in Python.
const OPERATORS: [Operator; 7] = [
    ("+", SUM, PRODUCT, |a, b| a + b),
    ("-", SUM, PRODUCT, |a, b| a - b),
    ("**", POWER, POWER, f64::powf),
    ("^", POWER, POWER, f64::powf),
    ("*", PRODUCT, SIGN, |a, b| a * b),
    ("/", PRODUCT, SIGN, |a, b| a / b),
    ("%", PRODUCT, SIGN, |a, b| a - b * (a / b).floor()),
];

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Reads as far as operators bind at least as tightly as `lowest`.
    fn formula(&mut self, lowest: u8) -> Result<Formula, Fault> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.fault(format!("there are more than {DEEPEST} formulas in one another here")));
        }
        let mut left = self.operand()?;
        while let Some((sign, _, right, function)) = self.operator(lowest) {
            self.eat(sign);
            left = Formula::two(function, left, self.formula(right)?);
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&mut self, lowest: u8) -> Option<Operator> {
        self.peek();
        let found = OPERATORS.into_iter().find(|(sign, ..)| self.rest().starts_with(sign));
        found.filter(|(_, power, ..)| *power >= lowest)
    }

    fn operand(&mut self) -> Result<Formula, Fault> {
        match self.peek() {
            Some('-') => {
                self.eat("-");
                Ok(Formula::One(|x| -x, Box::new(self.formula(SIGN)?)))
            }
            Some('+') => {
                self.eat("+");
                self.formula(SIGN)
            }
            Some('(') => {
                self.eat("(");
                let inside = self.formula(SUM)?;
                if self.eat(")") { Ok(inside) } else { Err(self.expected("an operator or `)`")) }
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if is_name(c) => self.name(),
            _ => Err(self.expected("a number, `t`, `base`, `pi`, a function or `(`")),
        }
    }

    /// Digits, then perhaps `e`, a sign and more digits.
    fn number(&mut self) -> Result<Formula, Fault> {
        let rest = self.rest();
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let mut end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        if let Some(exponent) = rest[end..].strip_prefix(['e', 'E']) {
            let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits(unsigned) > 0 {
                end = rest.len() - unsigned.len() + digits(unsigned);
            }
        }
        let written = &rest[..end];
        let number = written.parse().map_err(|_| self.fault(format!("`{written}` is no number")))?;
        self.at += end;
        Ok(Formula::Number(number))
    }

    fn name(&mut self) -> Result<Formula, Fault> {
        let start = self.at;
        let rest = self.rest();
        let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        self.at += name.len();
        let fault = |message| Err(Fault { message, at: start });
        match name {
            "t" => return Ok(Formula::T),
            "base" => return Ok(Formula::Base),
            "pi" => return Ok(Formula::Number(PI)),
            _ => {}
        }
        let Some((_, function)) = FUNCTIONS.into_iter().find(|(known, _)| *known == name) else {
            let known = VARIABLES.into_iter().chain(FUNCTIONS.into_iter().map(|(name, _)| name));
            return fault(format!("a formula knows no `{name}`; {}", suggestion(name, known)));
        };
        if !self.eat("(") {
            return fault(format!("`{name}` is a function; write `{name}(…)`"));
        }
        let arguments = self.arguments()?;
        let count = arguments.len();
        call(function, arguments)
            .map_or_else(|expected| fault(format!("`{name}` takes {expected}, and here are {count}")), Ok)
    }

    /// Formulas with commas between them, up to the closing parenthesis.
    fn arguments(&mut self) -> Result<Vec<Formula>, Fault> {
        let mut arguments = vec![self.formula(SUM)?];
        while self.eat(",") {
            arguments.push(self.formula(SUM)?);
        }
        if self.eat(")") { Ok(arguments) } else { Err(self.expected("an operator, `,` or `)`")) }
    }

    fn eat(&mut self, token: &str) -> bool {
        self.peek();
        let eaten = self.rest().starts_with(token);
        self.at += if eaten { token.len() } else { 0 };
        eaten
    }

    /// The first character of the next token, which the reader then stands at.
    fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn fault(&self, message: String) -> Fault {
        Fault { message, at: self.at }
    }

    fn expected(&mut self, what: &str) -> Fault {
        let found = self.peek().map_or("the end".to_owned(), |c| format!("`{c}`"));
        self.fault(format!("expected {what}, found {found}"))
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The call of `function`, or how many arguments it takes.
fn call(function: Function, arguments: Vec<Formula>) -> Result<Formula, &'static str> {
    match function {
        Function::One(function) => {
            let [x] = <[Formula; 1]>::try_from(arguments).map_err(|_| "one argument")?;
            Ok(Formula::One(function, Box::new(x)))
        }
        Function::Two(function) => {
            let operands = <[Formula; 2]>::try_from(arguments).map_err(|_| "two arguments")?;
            Ok(Formula::Two(function, Box::new(operands)))
        }
        Function::Several(_) if arguments.len() < 2 => Err("two arguments or more"),
        Function::Several(function) => {
            let together = arguments.into_iter().reduce(|a, b| Formula::two(function, a, b));
            together.ok_or("two arguments or more")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value at `t = 3` with a base of 2.
    fn value(text: &str) -> f64 {
        Formula::read(text).unwrap().value(3.0, 2.0)
    }

    fn fault(text: &str) -> (String, usize) {
        let fault = Formula::read(text).unwrap_err();
        (fault.message, fault.at)
    }

    #[test]
    fn it_reads_as_python_does() {
        let formulas = [
            ("-t^2", -9.0),
            ("(-t)^2", 9.0),
            ("2^3^2", 512.0),
            ("2**3**2", 512.0),
            ("2^-1", 0.5),
            ("2^-t*8", 1.0),
            ("-2^-2", -0.25),
            ("1 - 2 - 3", -4.0),
            ("8 / 4 / 2", 1.0),
            ("8 / 4 * 2", 4.0),
            ("2 + t * base ^ 2", 14.0),
            ("2 * -t", -6.0),
            ("- - +t", 3.0),
            ("7 % 4 * 2", 6.0),
            ("-1 % 4", 3.0),
            ("1 / 2", 0.5),
        ];
        for (text, expected) in formulas {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn it_knows_numbers_as_people_write_them() {
        for (text, expected) in [("1e-3", 1e-3), ("1E5", 1e5), ("2.5e+2", 250.0), (".5", 0.5), ("1.", 1.0)] {
            assert_eq!(value(text), expected, "{text}");
        }
        assert_eq!(value("1e-3-t"), 1e-3 - 3.0);
    }

    #[test]
    fn it_knows_the_usual_functions() {
        let formulas = [
            ("sqrt(t + 1)", 2.0),
            ("exp(ln(1))", 1.0),
            ("log10(1000) + log2(8)", 6.0),
            ("sin(0) + cos(pi) + tan(0) + tanh(0)", -1.0),
            ("abs(-t) + floor(2.7) + ceil(2.1) + round(2.5)", 11.0),
            ("pow(t, 2)", 9.0),
            ("min(t, base) + max(t, base, 7)", 9.0),
        ];
        for (text, expected) in formulas {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_does_not_get_lost() {
        for text in ["min(0/0, 1)", "min(1, 0/0)", "max(0/0, 1)", "max(1, 0/0)", "(0/0) % 2"] {
            assert!(value(text).is_nan(), "{text}");
        }
    }

    #[test]
    fn a_fault_is_named_with_its_place() {
        let operand = "expected a number, `t`, `base`, `pi`, a function or `(`, found";
        let faults = [
            ("", format!("{operand} the end"), 0),
            ("base *", format!("{operand} the end"), 6),
            ("2 + * t", format!("{operand} `*`"), 4),
            ("2t", "expected an operator or the end, found `t`".to_owned(), 1),
            ("2e", "expected an operator or the end, found `e`".to_owned(), 1),
            ("(t", "expected an operator or `)`, found the end".to_owned(), 2),
            ("t)", "expected an operator or the end, found `)`".to_owned(), 1),
            ("1.2.3", "`1.2.3` is no number".to_owned(), 0),
            ("base * sqr(t)", "a formula knows no `sqr`; did you mean `sqrt`?".to_owned(), 7),
            ("sqrt t", "`sqrt` is a function; write `sqrt(…)`".to_owned(), 0),
            ("sqrt(t, 2)", "`sqrt` takes one argument, and here are 2".to_owned(), 0),
            ("1 + max(t)", "`max` takes two arguments or more, and here are 1".to_owned(), 4),
            ("t é", "expected an operator or the end, found `é`".to_owned(), 2),
        ];
        for (text, message, at) in faults {
            assert_eq!(fault(text), (message, at), "{text}");
        }
    }

    #[test]
    fn a_hostile_formula_is_refused() {
        for text in ["(".repeat(900), "-".repeat(900) + "t", "t^".repeat(400) + "t", "sqrt(".repeat(150)] {
            assert!(fault(&text).0.contains("more than 50"), "{text}");
        }
        assert!(fault(&"t+".repeat(1_000_000)).0.contains("at most 1000"));
        assert_eq!(value(&("t".to_owned() + &"+t".repeat(499))), 1500.0);
    }
}
