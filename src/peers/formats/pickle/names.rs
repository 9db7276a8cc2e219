//! Names of classes and functions in pickles: which are data, and which refuse the file.
//!
//! No name is ever looked up or called. Refusing some is still worth while: a file that names `os.system` was made to
//! attack whoever opens it with Python, and says so best by not being imported. The rule:
//!
//! - From Python's own library only classes of plain values are taken ([`TAKEN`]); every other name is refused.
//! - Tools that load or run code (`torch.hub`, `numpy.testing`, `pip`, …), and names like `eval` anywhere, are refused.
//! - Other classes are data: settings of a trainer are full of them (`transformers.training_args.TrainingArguments`).
//!   Their instances stay as named objects, whose attributes can be looked through.
//!
//! A model or an optimizer may be such an object too. Its trainer then refuses it by name, since only the code of its class
//! could tell the numbers in it.

use super::Refusal;

/// Names in Python's own library that are data: a whole module, or a module with some names.
#[rustfmt::skip]
const TAKEN: &[(&str, &[&str])] = &[
    ("collections", &[]),
    ("datetime", &[]),
    ("pathlib", &[]),
    ("pathlib._local", &[]),
    ("decimal", &[]),
    ("fractions", &[]),
    ("enum", &[]),
    ("uuid", &[]),
    ("zoneinfo", &[]),
    ("numbers", &[]),
    ("math", &[]),
    ("typing", &[]),
    ("dataclasses", &[]),
    ("itertools", &[]),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace", "MappingProxyType"]),
    ("functools", &["partial"]),
    ("random", &["Random"]),
    ("array", &["array", "_array_reconstructor"]),
    ("re", &["_compile"]),
    ("logging", &["getLogger", "Logger"]),
    ("_codecs", &["encode"]),
    ("_io", &["BytesIO", "StringIO"]),
    ("copyreg", &["_reconstructor", "__newobj__", "__newobj_ex__"]),
    ("builtins", &[
        "list", "dict", "set", "frozenset", "tuple", "int", "long", "float", "str", "unicode", "bool", "bytes",
        "bytearray", "complex", "object", "slice", "range", "xrange", "type", "getattr", "Ellipsis",
        "NotImplemented", "NoneType",
    ]),
];

/// Further modules of Python's own library, all refused; sorted. Private ones begin with `_` and are refused too.
#[rustfmt::skip]
const LIBRARY: &[&str] = &[
    "abc", "aifc", "antigravity", "ast", "asynchat", "asyncio", "asyncore", "atexit", "audioop", "base64", "bdb",
    "binascii", "bisect", "bz2", "cPickle", "cProfile", "calendar", "cgi", "cgitb", "chunk", "cmath", "cmd", "code",
    "codecs", "codeop", "colorsys", "commands", "compileall", "concurrent", "configparser", "contextlib",
    "contextvars", "copy", "crypt", "csv", "ctypes", "curses", "dbm", "difflib", "dis", "distutils", "doctest",
    "email", "encodings", "ensurepip", "errno", "faulthandler", "fcntl", "filecmp", "fileinput", "fnmatch", "ftplib",
    "gc", "genericpath", "getopt", "getpass", "gettext", "glob", "graphlib", "grp", "gzip", "hashlib", "heapq",
    "hmac", "html", "http", "idlelib", "imaplib", "imghdr", "imp", "importlib", "inspect", "io", "ipaddress", "json",
    "keyword", "lib2to3", "linecache", "locale", "lzma", "mailbox", "mailcap", "marshal", "mimetypes", "mmap",
    "modulefinder", "msilib", "msvcrt", "multiprocessing", "netrc", "nis", "nntplib", "nt", "ntpath", "nturl2path",
    "opcode", "operator", "optparse", "os", "ossaudiodev", "pdb", "pickle", "pickletools", "pipes", "pkgutil",
    "platform", "plistlib", "popen2", "poplib", "posix", "posixpath", "pprint", "profile", "pstats", "pty", "pwd",
    "py_compile", "pyclbr", "pydoc", "pydoc_data", "pyexpat", "queue", "quopri", "readline", "reprlib", "resource",
    "rlcompleter", "runpy", "sched", "secrets", "select", "selectors", "shelve", "shlex", "shutil", "signal", "site",
    "smtpd", "smtplib", "sndhdr", "socket", "socketserver", "spwd", "sqlite3", "sre_compile", "sre_constants",
    "sre_parse", "ssl", "stat", "statistics", "string", "stringprep", "struct", "subprocess", "sunau", "symtable",
    "sys", "sysconfig", "syslog", "tabnanny", "tarfile", "telnetlib", "tempfile", "termios", "textwrap", "this",
    "threading", "time", "timeit", "tkinter", "token", "tokenize", "tomllib", "trace", "traceback", "tracemalloc",
    "tty", "turtle", "turtledemo", "unicodedata", "unittest", "urllib", "urllib2", "uu", "venv", "warnings", "wave",
    "weakref", "webbrowser", "winreg", "winsound", "wsgiref", "xdrlib", "xml", "xmlrpc", "zipapp", "zipfile",
    "zipimport", "zlib",
];

/// Modules elsewhere that load or run code, with all below them.
#[rustfmt::skip]
const TOOLS: &[&str] = &[
    "IPython", "code", "commands", "numpy.distutils", "numpy.f2py", "numpy.testing", "pandas.core.computation", "pip",
    "pkg_resources", "setuptools", "torch.hub", "torch.jit", "torch.package", "torch.utils.cpp_extension",
];

/// Names that run code wherever they are.
#[rustfmt::skip]
const RUNS: &[&str] = &[
    "eval", "exec", "execfile", "compile", "system", "popen", "Popen", "check_call", "check_output", "__import__",
    "import_module", "runstring", "run_code", "spawnl", "spawnv", "execv", "execve", "fork",
];

/// Returns the full name of a class or function, which stays data.
///
/// # Errors
/// The name is not one of data.
pub(super) fn data(module: &str, name: &str) -> Result<String, Refusal> {
    // Python 2 had these under other names, which protocol 2 still writes.
    let module = match module {
        "__builtin__" | "exceptions" => "builtins",
        "copy_reg" => "copyreg",
        module => module,
    };
    let full = format!("{module}.{name}");
    if is_data(module, name) {
        return Ok(full);
    }
    Err(Refusal::Unsupported(format!(
        "the file names {full}, which is no class of data; it was not called. A checkpoint needs no such thing: do not \
         open this file with Python unless you trust who made it"
    )))
}

fn is_data(module: &str, name: &str) -> bool {
    if name.rsplit('.').next().is_some_and(|last| RUNS.contains(&last)) {
        return false;
    }
    if let Some((_, names)) = TAKEN.iter().find(|(taken, _)| *taken == module) {
        return names.is_empty() || names.contains(&name);
    }
    let top = module.split('.').next().unwrap_or(module);
    let private = top.starts_with('_') && top != "__main__";
    let library = LIBRARY.binary_search(&top).is_ok() || TAKEN.iter().any(|(taken, _)| *taken == top && module != top);
    let tool =
        TOOLS.iter().any(|tool| module == *tool || module.strip_prefix(tool).is_some_and(|rest| rest.starts_with('.')));
    !(private || library || tool)
}

/// Returns whether an unknown function may stay as data where it is called: a function of PyTorch or NumPy may make a
/// tensor, which would be missing then, so only their classes may.
pub(super) fn may_stay_uncalled(full: &str) -> bool {
    let library = full.split('.').next().unwrap_or(full);
    let last = full.rsplit('.').next().unwrap_or(full).trim_start_matches('_');
    let plain = ["torch.device", "torch.serialization.", "numpy.random."].iter().any(|begin| full.starts_with(begin));
    let harmless = plain || last.starts_with(char::is_uppercase);
    !matches!(library, "torch" | "numpy") || harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_run_or_open_something_are_refused_by_name() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("nt", "system"),
            ("subprocess", "Popen"),
            ("builtins", "eval"),
            ("__builtin__", "exec"),
            ("__builtin__", "open"),
            ("importlib", "import_module"),
            ("_io", "FileIO"),
            ("torch.hub", "load"),
            ("torch.jit._script", "ScriptModule"),
            ("numpy.testing._private.utils", "runstring"),
            ("pip._internal", "main"),
            ("my.tools", "runner.system"),
            ("os.path", "join"),
            ("collections.abc", "X"),
            ("_pickle", "loads"),
            ("functools", "reduce"),
            ("operator", "attrgetter"),
            ("sys", "exit"),
        ] {
            let Err(Refusal::Unsupported(message)) = data(module, name) else { panic!("{module}.{name} is taken") };
            assert!(message.contains(name) && message.contains("not called"), "{message}");
        }
    }

    #[test]
    fn classes_of_settings_are_data() {
        for (module, name) in [
            ("collections", "OrderedDict"),
            ("__builtin__", "set"),
            ("argparse", "Namespace"),
            ("__main__", "Config"),
            ("transformers.training_args", "TrainingArguments"),
            ("numpy", "ndarray"),
            ("torch", "float32"),
            ("codecarbon.config", "Config"),
            ("pathlib", "PosixPath"),
            ("fastcore.foundation", "L"),
            ("_io", "BytesIO"),
        ] {
            assert!(data(module, name).is_ok(), "{module}.{name} is refused");
        }
    }

    #[test]
    fn the_list_of_modules_is_sorted() {
        assert!(LIBRARY.is_sorted());
    }
}
