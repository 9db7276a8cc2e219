//! `scripts/check-gpu`, with stand-ins for the programs that need a GPU, and the model that it measures.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use rekindle::data::Input;
use rekindle::model::ModelConfig;
use tempfile::TempDir;

use crate::common::programs::Told;

#[path = "../../benches/workloads/workload.rs"]
mod workload;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/check-gpu");

/// A folder as `build` makes it. Every stand-in says that all is well.
struct Built(TempDir);

impl Built {
    fn new() -> Self {
        let built = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(built.path("tests")).unwrap();
        fs::create_dir_all(built.path("bin")).unwrap();
        built.program("bin/nvidia-smi", "printf 'GPU 0: H200\\nGPU 1: H200\\n'");
        built.program("bin/mpirun", "");
        fs::write(built.path("commit"), "abc1234\n").unwrap();
        fs::write(built.path("contestant.py"), "").unwrap();
        fs::write(built.path("paths"), "").unwrap();
        for name in ["inspect", "workloads"] {
            built.program(name, "");
        }
        built.program("train", "echo '5 kills: every bit identical'");
        built.program("python", "");
        built.program(
            "versus",
            "while [ \"$1\" != --out ]; do shift; done; mkdir -p \"$2\"; echo '| W1 | Rekindle |' >\"$2/results.md\"",
        );
        for name in ["rekindle", "runs", "checkpoints", "kills"] {
            built.program(&format!("tests/{name}"), "echo 'test result: ok. 4 passed; 0 failed; 0 ignored'");
        }
        built
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(SCRIPT);
        command.arg("run").arg(self.0.path()).arg("--python").arg(self.path("python")).args(more);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command
    }

    fn run(&self, more: &[&str]) -> Told {
        self.command(more).output().unwrap().into()
    }
}

#[test]
fn a_wrong_request_is_told_in_one_line() {
    let built = Built::new();
    let folder = built.0.path().to_str().unwrap();
    for (arguments, part) in [
        (&[][..], "build or run?"),
        (&["test"], "there is no command test"),
        (&["run"], "run needs a folder"),
        (&["build"], "build needs a folder"),
        (&["run", "--out", "x"], "run needs a folder"),
        (&["run", "/no such folder"], "there is no folder /no such folder"),
        (&["run", folder, "--out"], "--out has no value"),
        (&["run", folder, "--fast", "1"], "there is no option --fast"),
        (&["run", folder, "--minutes", "0"], "--minutes 0: must be a whole number from 1 to 999"),
        (&["run", folder, "--only", "tests,all"], "--only all: must be tests, prove, ranks or speed"),
        (&["run", folder, "--only", ""], "--only names no part"),
        (&["build", folder, "--release"], "there is no option --release"),
    ] {
        let told: Told = Command::new(SCRIPT).args(arguments).output().unwrap().into();
        told.says(2, &[part]);
        assert_eq!(told.err.lines().count(), 1, "{}", told.err);
    }
    fs::remove_file(built.path("versus")).unwrap();
    built.run(&[]).says(2, &["has no versus", "scripts/check-gpu build"]);
}

#[test]
fn without_a_gpu_nothing_runs_and_one_line_says_why() {
    let built = Built::new();
    built.program("workloads", "echo 'device `cuda` cannot be opened: there is no driver' >&2; exit 3");
    let told = built.run(&[]);
    told.says(2, &["no GPU can be used, so nothing was run: device `cuda` cannot be opened: there is no driver"]);
    assert_eq!((told.err.lines().count(), told.out.as_str()), (1, ""));
    assert!(!built.path("results/summary.txt").exists());
}

#[test]
fn everything_that_passes_is_in_the_summary() {
    let built = Built::new();
    let told = built.run(&["--minutes", "1"]);
    told.says(0, &[]);
    let summary = fs::read_to_string(built.path("results/summary.txt")).unwrap();
    assert!(told.out.ends_with(&summary) && told.out.contains("| W1 | Rekindle |"), "{}", told.out);
    let expected = [
        "passed   tests rekindle: 4 passed, 0 failed",
        "passed   tests checkpoints: 4 passed, 0 failed",
        "passed   tests kills: 4 passed, 0 failed",
        "passed   tests runs: 4 passed, 0 failed",
        "passed   train prove: 5 kills: every bit identical",
        "passed   ranks: 5 kills: every bit identical",
    ];
    let lines: Vec<&str> = summary.lines().collect();
    assert!(lines[0].ends_with("commit abc1234:"), "{summary}");
    assert_eq!(lines[1..7], expected);
    assert!(lines[7].starts_with("passed   speed: measured; see "), "{summary}");
    assert_eq!(lines[8..], ["7 passed, 0 failed, 0 not run"]);
}

#[test]
fn what_fails_and_what_does_not_run_is_told_with_the_reason() {
    let built = Built::new();
    let skipped = "echo 'NOT RUN on a GPU: the resume matrix: this build has no feature `cuda`' >&2";
    built.program("tests/runs", &format!("{skipped}; echo 'test result: ok. 4 passed; 0 failed; 0 ignored'"));
    built.program("tests/checkpoints", "echo 'test result: ok. 0 passed; 0 failed; 0 ignored'");
    built.program("tests/kills", "echo 'test result: FAILED. 3 passed; 1 failed; 0 ignored'; exit 101");
    built.program("train", "echo '2 files differ'; exit 1");
    built.program("python", "echo 'No module named torch' >&2; exit 1");
    built.program(
        "versus",
        "echo 'LEFT OUT of W3: Rekindle: out of memory\nLEFT OUT of W4: torch.compile: no gcc\nno results' >&2; exit 1",
    );
    let told = built.run(&[]);
    told.says(1, &[]);
    let python = built.path("python").display().to_string();
    for line in [
        "passed   tests runs: 4 passed, 0 failed",
        "not run  tests runs: the resume matrix: this build has no feature `cuda`",
        "not run  tests checkpoints: there are no tests named _gpu",
        "failed   tests kills: 3 passed, 1 failed; see ",
        "failed   train prove: exit code 1, 2 files differ; see ",
        "failed   ranks: exit code 1, 2 files differ; see ",
        &format!("not run  PyTorch: {python}: No module named torch; name another with --python"),
        "failed   speed: left out of W3: Rekindle: out of memory",
        "not run  speed: left out of W4: torch.compile: no gcc",
        "failed   speed: no results; see ",
    ] {
        assert!(told.out.lines().any(|found| found.starts_with(line)), "`{line}` is not in:\n{}", told.out);
    }
    assert!(told.out.ends_with("2 passed, 5 failed, 4 not run\n"), "{}", told.out);
    let told = built.run(&["--only", "prove"]);
    assert!(told.out.contains("not run  speed: not among --only prove"), "{}", told.out);
    assert!(told.out.ends_with("0 passed, 1 failed, 3 not run\n"), "{}", told.out);
}

#[test]
fn kernels_are_not_tested_without_a_compiler_and_the_summary_says_so() {
    let built = Built::new();
    let told: Told = built.command(&["--only", "tests"]).env("CXX", "no such compiler").output().unwrap().into();
    told.says(0, &[]);
    assert!(told.out.contains("not run  tests rekindle: they need a C++ compiler"), "{}", told.out);
    assert!(told.out.ends_with("3 passed, 0 failed, 4 not run\n"), "{}", told.out);
}

#[test]
fn gpus_are_connected_where_there_are_two_and_a_build_that_can() {
    let built = Built::new();
    let says = |told: Told, line: &str| assert!(told.out.lines().any(|found| found.starts_with(line)), "{}", told.out);
    built.program("train", "echo \"$*\"; echo 'every bit identical'");
    says(built.run(&["--only", "ranks"]), "passed   ranks: every bit identical");
    let log = fs::read_to_string(built.path("results/ranks.log")).unwrap();
    assert!(log.contains("--launch  --launch mpirun -n 2 --set device=cuda"), "{log}");
    let told = built.run(&["--only", "ranks", "--device", "cuda:1"]);
    says(told, "not run  ranks: they take the first GPUs of the machine");
    built.program("train", "echo 'error: this program was built without it; a build with'; exit 2");
    says(built.run(&["--only", "ranks"]), "not run  ranks: the programs cannot connect GPUs; build them with ");
    let told: Told = built.command(&["--only", "ranks"]).env("MPIRUN", "no-such-launcher").output().unwrap().into();
    says(told, "not run  ranks: there is no no-such-launcher; ");
    built.program("bin/nvidia-smi", "echo 'GPU 0: H200'");
    says(built.run(&["--only", "ranks"]), "not run  ranks: the GPUs of this machine: 1; it takes two");
}

#[test]
fn the_tests_use_the_gpu_that_is_named() {
    let built = Built::new();
    for (visible, device, expected) in [("", "cuda:1", "1"), ("GPU-a,GPU-b", "cuda:1", "GPU-b"), ("3", "cuda", "3")] {
        let sees = format!("[ \"$CUDA_VISIBLE_DEVICES\" = {expected} ] && echo 'test result: ok. 1 passed; 0 failed'");
        built.program("tests/runs", &sees);
        built.program("train", &format!("case \"$*\" in *device=cuda\\ *) {sees};; esac; echo 'every bit identical'"));
        let command = &mut built.command(&["--only", "tests,prove", "--device", device]);
        let told: Told = command.env("CUDA_VISIBLE_DEVICES", visible).output().unwrap().into();
        told.says(0, &[]);
        assert!(told.out.contains("passed   tests runs: 1 passed"), "{visible} {device}: {}", told.out);
        assert!(told.out.contains(&format!(" s on {device}, commit abc1234:")), "{}", told.out);
        let prove = fs::read_to_string(built.path("results/prove.log")).unwrap();
        assert!(prove.starts_with("test result"), "{prove}");
    }
    let told: Told = built.command(&["--device", "cuda:2"]).env("CUDA_VISIBLE_DEVICES", "5,6").output().unwrap().into();
    told.says(2, &["there is no device cuda:2: CUDA_VISIBLE_DEVICES is 5,6"]);
}

#[test]
fn tests_find_the_programs_and_the_project_where_they_were_built() {
    let built = Built::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let project = elsewhere.path().join("project");
    let program = project.join("target/release/train");
    fs::create_dir_all(built.path("source/examples")).unwrap();
    fs::write(built.path("paths"), format!("train 0 {}\nsource - {}\n", program.display(), project.display())).unwrap();
    let looks = format!("[ -x {} ] && [ -d {}/examples ]", program.display(), project.display());
    built.program("tests/runs", &format!("{looks} && echo 'test result: ok. 1 passed; 0 failed'"));
    for _ in 0..2 {
        let told = built.run(&["--only", "tests"]);
        assert!(told.out.contains("passed   tests runs: 1 passed, 0 failed"), "{}", told.out);
        assert!(!project.exists(), "a link is left");
    }
    // A program that was built since is not the one that the tests are for.
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, "another").unwrap();
    let told = built.run(&["--only", "tests"]);
    assert!(told.out.contains("train is another program than the one of the tests; build again"), "{}", told.out);
    assert!(told.out.ends_with("0 passed, 0 failed, 4 not run\n"), "{}", told.out);
}

#[test]
fn the_large_gpt_has_124_million_parameters() {
    let size = workload::GptSize::of("GPT-124M").unwrap();
    let own: usize = size.weights().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let config = format!("kind = 'gpt'\nlayers = {}\nheads = {}\nwidth = {}", size.layers, size.heads, size.width);
    let config: ModelConfig = toml::from_str(&config).unwrap();
    let input = Input::Tokens { context: size.context, vocabulary: size.vocabulary };
    let outline = config.outline(&input, size.vocabulary).unwrap().unwrap();
    assert_eq!((own, outline.parameters), (124_475_904, 124_475_904));
}
