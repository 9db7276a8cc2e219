//! The bytes of a pickle: its opcodes by name, and the arguments that follow them.

use super::Refusal;

macro_rules! opcodes {
    ($($name:ident = $byte:literal,)*) => {
        /// An opcode, by the name that Python's `pickletools` gives it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        pub(super) enum Opcode {
            $($name,)*
        }

        impl Opcode {
            pub(super) fn of(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

opcodes! {
    MARK = b'(', STOP = b'.', POP = b'0', POP_MARK = b'1', DUP = b'2',
    NONE = b'N', NEWTRUE = 0x88, NEWFALSE = 0x89,
    INT = b'I', BININT = b'J', BININT1 = b'K', BININT2 = b'M', LONG = b'L', LONG1 = 0x8a, LONG4 = 0x8b,
    FLOAT = b'F', BINFLOAT = b'G',
    STRING = b'S', BINSTRING = b'T', SHORT_BINSTRING = b'U',
    UNICODE = b'V', BINUNICODE = b'X', SHORT_BINUNICODE = 0x8c, BINUNICODE8 = 0x8d,
    BINBYTES = b'B', SHORT_BINBYTES = b'C', BINBYTES8 = 0x8e, BYTEARRAY8 = 0x96,
    EMPTY_LIST = b']', LIST = b'l', APPEND = b'a', APPENDS = b'e',
    EMPTY_TUPLE = b')', TUPLE = b't', TUPLE1 = 0x85, TUPLE2 = 0x86, TUPLE3 = 0x87,
    EMPTY_DICT = b'}', DICT = b'd', SETITEM = b's', SETITEMS = b'u',
    EMPTY_SET = 0x8f, ADDITEMS = 0x90, FROZENSET = 0x91,
    GET = b'g', BINGET = b'h', LONG_BINGET = b'j', PUT = b'p', BINPUT = b'q', LONG_BINPUT = b'r', MEMOIZE = 0x94,
    GLOBAL = b'c', STACK_GLOBAL = 0x93, INST = b'i', OBJ = b'o', NEWOBJ = 0x81, NEWOBJ_EX = 0x92,
    REDUCE = b'R', BUILD = b'b', PERSID = b'P', BINPERSID = b'Q',
    PROTO = 0x80, FRAME = 0x95,
    EXT1 = 0x82, EXT2 = 0x83, EXT4 = 0x84, NEXT_BUFFER = 0x97, READONLY_BUFFER = 0x98,
}

/// The bytes that are still to be read.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, place: 0 }
    }

    /// Returns the place of the next byte.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Refusal> {
        let end = self.place.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.place..end));
        let taken =
            taken.ok_or_else(|| Refusal::Damaged(format!("{length} bytes are to follow, and it ends before")))?;
        self.place += length;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Refusal> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Refusal> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Takes bytes after their number, which has one, four or eight bytes.
    pub(super) fn counted<const N: usize>(&mut self) -> Result<&'a [u8], Refusal> {
        let mut count = [0; 8];
        count[..N].copy_from_slice(self.take(N)?);
        let count = usize::try_from(u64::from_le_bytes(count));
        self.take(count.unwrap_or(usize::MAX))
    }

    /// Takes text after its number of bytes.
    pub(super) fn text<const N: usize>(&mut self) -> Result<String, Refusal> {
        Ok(python_text(self.counted::<N>()?))
    }

    /// Takes the text up to the end of a line.
    pub(super) fn line(&mut self) -> Result<&'a str, Refusal> {
        std::str::from_utf8(self.line_bytes()?).map_err(|_| Refusal::Damaged("a line that is no text".to_owned()))
    }

    /// Takes the text up to the end of a line, of which each byte is a character (Latin-1).
    pub(super) fn latin_line(&mut self) -> Result<String, Refusal> {
        Ok(self.line_bytes()?.iter().copied().map(char::from).collect())
    }

    fn line_bytes(&mut self) -> Result<&'a [u8], Refusal> {
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).ok_or_else(|| Refusal::Damaged("a line without an end".to_owned()))?;
        let line = self.take(length)?;
        self.place += 1;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Returns text of Python, which is UTF-8 but for single surrogates; each of these becomes U+FFFD.
fn python_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
