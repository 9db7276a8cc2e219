//! Formulas of `t` and `base`, parsed and evaluated for [`Expr`](super::kinds::Expr).
//!
//! They are parsed by winnow and its [`expression`], which is given the precedence of each operator: Python's, so that
//! `-t^2` is `-(t^2)`, `2^3^2` is `2^(3^2)` and `2^-1` is a half. Crates that also evaluate differ in some of these,
//! and report no position of a fault: exmex 0.21 has `(-t)^2` and `(2^3)^2`, takes `* t base` for a product, and cannot
//! read a `min` at the end of another; evalexpr's licence does not fit ours. A formula cannot call or change anything
//! outside itself.

use std::f64::consts::PI;

use thiserror::Error;
use winnow::ascii::{digit0, digit1, multispace0};
use winnow::combinator::{
    Infix, Prefix, alt, cut_err, delimited, dispatch, eof, expression, fail, opt, peek, preceded, repeat, separated,
    terminated,
};
use winnow::error::{ContextError, ErrMode, StrContext, StrContextValue};
use winnow::token::{any, one_of, take_while};
use winnow::{ModalResult, Parser};

use super::error::suggestion;

/// Maximal length of a formula in bytes.
const LONGEST: usize = 1000;

/// Limit on parentheses and powers, which can nest: far beyond any use, and far below the limit of the stack.
const DEEPEST: usize = 50;

/// Binding powers of the operators.
const SUM: i64 = 1;
const PRODUCT: i64 = 2;
const SIGN: i64 = 3;
const POWER: i64 = 4;

/// A parsed formula.
#[derive(Debug)]
pub(crate) enum Formula {
    Number(f64),
    T,
    Base,
    One(fn(f64) -> f64, Box<Formula>),
    Two(fn(f64, f64) -> f64, Box<[Formula; 2]>),
}

/// A fault in a formula, and the byte of it.
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
        let deeper = |&(at, c): &(usize, char)| matches!(c, '(' | '^') || text[at..].starts_with("**");
        if let Some((at, _)) = text.char_indices().filter(deeper).nth(DEEPEST) {
            return Err(Fault { message: format!("a formula has at most {DEEPEST} parentheses and powers"), at });
        }
        let end = (multispace0, eof).context(expected("an operator or the end"));
        terminated(formula, end).parse(text).map_err(|error| {
            let (at, expected) = (error.offset(), error.inner().to_string());
            let found = text[at..].chars().next().map_or("the end".to_owned(), |c| format!("`{c}`"));
            let said = error.inner().cause().map(ToString::to_string);
            Fault { message: said.unwrap_or_else(|| format!("{expected}, found {found}")), at }
        })
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

/// Meaning of a name; functions by the number of their arguments.
enum Meaning {
    Value(Formula),
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
    /// Two or more arguments, folded from the left.
    Several(fn(f64, f64) -> f64),
}

impl Meaning {
    fn takes(&self) -> &'static str {
        match self {
            Self::Value(_) => "no arguments",
            Self::One(_) => "one argument in parentheses",
            Self::Two(_) => "two arguments in parentheses",
            Self::Several(_) => "two arguments or more in parentheses",
        }
    }
}

const NAMES: [(&str, Meaning); 19] = [
    ("t", Meaning::Value(Formula::T)),
    ("base", Meaning::Value(Formula::Base)),
    ("pi", Meaning::Value(Formula::Number(PI))),
    ("sqrt", Meaning::One(f64::sqrt)),
    ("exp", Meaning::One(f64::exp)),
    ("ln", Meaning::One(f64::ln)),
    ("log10", Meaning::One(f64::log10)),
    ("log2", Meaning::One(f64::log2)),
    ("sin", Meaning::One(f64::sin)),
    ("cos", Meaning::One(f64::cos)),
    ("tan", Meaning::One(f64::tan)),
    ("tanh", Meaning::One(f64::tanh)),
    ("abs", Meaning::One(f64::abs)),
    ("floor", Meaning::One(f64::floor)),
    ("ceil", Meaning::One(f64::ceil)),
    ("round", Meaning::One(f64::round)),
    ("pow", Meaning::Two(f64::powf)),
    ("min", Meaning::Several(least)),
    ("max", Meaning::Several(greatest)),
];

/// Returns the smaller one; unlike `f64::min`, NaN if either is NaN.
fn least(a: f64, b: f64) -> f64 {
    if b < a || b.is_nan() { b } else { a }
}

fn greatest(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

/// Returns the remainder of a division, exact and with the sign of the divisor, as in Python.
fn remainder(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
}

type Failure = ErrMode<ContextError>;

fn expected(what: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(what))
}

/// Parses operands with operators between them.
fn formula(input: &mut &str) -> ModalResult<Formula> {
    expression(preceded(multispace0, operand)).prefix(sign).infix(operator).parse_next(input)
}

/// Signs in a row are one.
fn sign<'a>(input: &mut &'a str) -> ModalResult<Prefix<&'a str, Formula, Failure>> {
    // The expected operand is reported here, because this is tried last.
    let sign = one_of(['-', '+']).context(expected("a number, `t`, `base`, `pi`, a function or `(`"));
    let signs = repeat(1.., preceded(multispace0, sign));
    let negative = signs.fold(|| false, |negative, sign| negative != (sign == '-')).parse_next(input)?;
    Ok(if negative { Prefix(SIGN, |_, x| Ok(Formula::One(|x| -x, Box::new(x)))) } else { Prefix(SIGN, |_, x| Ok(x)) })
}

/// `**` is tried before `*`.
fn operator<'a>(input: &mut &'a str) -> ModalResult<Infix<&'a str, Formula, Failure>> {
    use Infix::{Left, Right};
    let operators = alt((
        alt(("**", "^")).value(Right(POWER, |_: &mut _, a, b| Ok(Formula::two(f64::powf, a, b)))),
        '*'.value(Left(PRODUCT, |_: &mut _, a, b| Ok(Formula::two(|a, b| a * b, a, b)))),
        '/'.value(Left(PRODUCT, |_: &mut _, a, b| Ok(Formula::two(|a, b| a / b, a, b)))),
        '%'.value(Left(PRODUCT, |_: &mut _, a, b| Ok(Formula::two(remainder, a, b)))),
        '+'.value(Left(SUM, |_: &mut _, a, b| Ok(Formula::two(|a, b| a + b, a, b)))),
        '-'.value(Left(SUM, |_: &mut _, a, b| Ok(Formula::two(|a, b| a - b, a, b)))),
    ));
    preceded(multispace0, operators).parse_next(input)
}

fn operand(input: &mut &str) -> ModalResult<Formula> {
    dispatch! {peek(any);
        '(' => delimited('(', cut_err(formula), close("an operator or `)`")),
        '0'..='9' | '.' => number,
        c if is_name(c) => cut_err(named),
        _ => fail,
    }
    .parse_next(input)
}

fn close<'a>(otherwise: &'static str) -> impl Parser<&'a str, char, Failure> {
    cut_err(preceded(multispace0, ')'.context(expected(otherwise))))
}

fn number(input: &mut &str) -> ModalResult<Formula> {
    let digits = alt(((digit1, opt(('.', digit0))).void(), ('.', digit1).void()));
    let exponent = (one_of(['e', 'E']), opt(one_of(['-', '+'])), digit1);
    (digits, opt(exponent)).take().parse_to().map(Formula::Number).parse_next(input)
}

fn named(input: &mut &str) -> ModalResult<Formula> {
    let name = take_while(1.., is_name);
    let several = separated(1.., cut_err(formula), preceded(multispace0, ','));
    let arguments = delimited((multispace0, '('), several, close("an operator, `,` or `)`"));
    (name, opt(arguments)).try_map(|(name, arguments)| meaning(name, arguments.unwrap_or_default())).parse_next(input)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The reason why a name has no meaning.
#[derive(Debug, Error)]
#[error("{0}")]
struct Meaningless(String);

/// Resolves `name` with its arguments.
fn meaning(name: &str, arguments: Vec<Formula>) -> Result<Formula, Meaningless> {
    let Some((_, meaning)) = NAMES.into_iter().find(|(known, _)| *known == name) else {
        let known = NAMES.map(|(name, _)| name);
        return Err(Meaningless(format!("a formula has no `{name}`; {}", suggestion(name, known))));
    };
    let (count, takes) = (arguments.len(), meaning.takes());
    let mut arguments = arguments.into_iter();
    let found = match (meaning, count) {
        (Meaning::Value(value), 0) => Some(value),
        (Meaning::One(one), 1) => arguments.next().map(|x| Formula::One(one, Box::new(x))),
        (Meaning::Two(two), 2) | (Meaning::Several(two), 2..) => arguments.reduce(|a, b| Formula::two(two, a, b)),
        _ => None,
    };
    found.ok_or_else(|| Meaningless(format!("`{name}` takes {takes}, and here are {count}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the value at `t = 3` with a base of 2.
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
            ("1 % -4", -3.0),
            ("2 % 0.1", 2.0 % 0.1),
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
            ("base * ", format!("{operand} the end"), 7),
            ("2 + * t", format!("{operand} `*`"), 4),
            ("* t base", format!("{operand} `*`"), 0),
            ("(1 + )", format!("{operand} `)`"), 5),
            ("max(t, , 1)", format!("{operand} `,`"), 7),
            ("sqrt()", format!("{operand} `)`"), 5),
            ("sqrt(t + -)", format!("{operand} `)`"), 10),
            (".", format!("{operand} `.`"), 0),
            ("2t", "expected an operator or the end, found `t`".to_owned(), 1),
            ("2e", "expected an operator or the end, found `e`".to_owned(), 1),
            ("1.2.3", "expected an operator or the end, found `.`".to_owned(), 3),
            ("-(t, base)", "expected an operator or `)`, found `,`".to_owned(), 3),
            ("(t", "expected an operator or `)`, found the end".to_owned(), 2),
            ("t)", "expected an operator or the end, found `)`".to_owned(), 1),
            ("max(1, 2", "expected an operator, `,` or `)`, found the end".to_owned(), 8),
            ("base * sqr(t)", "a formula has no `sqr`; did you mean `sqrt`?".to_owned(), 7),
            ("sqrt t", "`sqrt` takes one argument in parentheses, and here are 0".to_owned(), 0),
            ("1 + sqrt(t, 2)", "`sqrt` takes one argument in parentheses, and here are 2".to_owned(), 4),
            ("1 + max(t)", "`max` takes two arguments or more in parentheses, and here are 1".to_owned(), 4),
            ("2 * t(3)", "`t` takes no arguments, and here are 1".to_owned(), 4),
            ("t é", "expected an operator or the end, found `é`".to_owned(), 2),
        ];
        for (text, message, at) in faults {
            assert_eq!(fault(text), (message, at), "{text}");
        }
    }

    #[test]
    fn a_hostile_formula_is_refused() {
        for text in ["(".repeat(900), "sqrt(".repeat(150), "-(".repeat(200), "t^-".repeat(99), "t**".repeat(99)] {
            assert!(fault(&text).0.contains("at most 50 parentheses and powers"), "{text}");
        }
        assert!(fault(&"t+".repeat(1_000_000)).0.contains("at most 1000 characters"));
    }

    #[test]
    fn the_deepest_formulas_leave_room_on_the_stack() {
        let nested = format!("{}t{}", "sqrt(--2+-".repeat(50), ")".repeat(50));
        for text in [nested, "-".repeat(998) + "t", "+ ".repeat(499) + "t", "1^-".repeat(50) + "t"] {
            assert!(!value(&text).is_infinite(), "{text}");
        }
        assert_eq!(value(&("t".to_owned() + &"+t".repeat(499))), 1500.0);
    }
}
