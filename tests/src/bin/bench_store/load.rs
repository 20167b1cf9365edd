//! What lies in the memory of the program.

use std::path::PathBuf;

use anyhow::{Result, bail};
use crik_tests::build::workspace;
use crik_tests::command::run;
use crik_tests::pod::Pod;
use crik_tests::rootfs::Root;
use crik_tests::spec::bind;

/// Of what kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// As a computation leaves them.
    Arrays,
    /// What nothing makes smaller.
    Random,
    /// Of a Java program.
    Heap,
}

impl Load {
    /// The one with this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "arrays" => Self::Arrays,
            "random" => Self::Random,
            "heap" => Self::Heap,
            _ => bail!("there is no load {name}"),
        })
    }

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arrays => "arrays",
            Self::Random => "random bytes",
            Self::Heap => "a JVM's heap",
        }
    }

    /// The command of a program with so much of it.
    pub fn command(self, megabytes: u32) -> Vec<String> {
        let words = match self {
            Self::Arrays => format!("python3 /programs/arrays.py {megabytes} arrays"),
            Self::Random => format!("python3 /programs/arrays.py {megabytes} random"),
            // It keeps a file mapped for jps and jstat, which CRIU alone does not bring along.
            // With room for what is thrown away. It keeps a file mapped for jps and jstat, which CRIU alone does not bring along.
            Self::Heap => {
                let kept = megabytes / 4 * 3;
                format!("java -XX:-UsePerfData -XX:+UseG1GC -Xmx{megabytes}m -cp /heap Heap {kept}")
            }
        };
        words.split(' ').map(str::to_owned).collect()
    }

    /// How the program's process is called.
    pub fn process(self) -> &'static str {
        if self == Self::Heap { "java" } else { "python3" }
    }

    /// The pod with what the program needs.
    ///
    /// # Errors
    /// It cannot be compiled.
    pub fn given_to(self, pod: &Pod) -> Result<Pod> {
        if self != Self::Heap {
            return Ok(pod.replacement());
        }
        let classes = compiled_heap()?;
        Ok(pod.replacement().with(|spec| {
            spec.root = Root::named("languages");
            spec.mounts.push(bind(&classes, "/heap", "ro"));
        }))
    }
}

fn compiled_heap() -> Result<PathBuf> {
    let source = workspace().join("tests/programs/Heap.java");
    let classes = crik_tests::build::target_directory().join("bench-heap");
    let (source, to) = (source.to_string_lossy(), classes.to_string_lossy());
    run("javac", &["-nowarn", "-XDignore.symbol.file", "-d", &to, &source])?;
    Ok(classes)
}
