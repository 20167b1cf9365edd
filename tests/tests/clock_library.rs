//! Programs that are preloaded with crik's library go on by their own clock on a machine whose clock is another one.
//!
//! Without containers: the library's page says that the machine has become younger or older, as it does after a restore, or is
//! changed under a process that is stopped in a wait.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::mem::{offset_of, size_of};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use crik_agent::carry::clocks::coverage::{self, Coverage};
use crik_agent::carry::clocks::install::{self, LIBRARY};
use crik_agent::carry::clocks::layout::{Number, Page, SLOTS, Slot};
use crik_agent::carry::clocks::{machine, vdso_stub};
use crik_agent::carry::file_numbers;
use crik_store::generation::clock_facts::{Clocks, Installed};
use crik_store::generation::file_numbers::FileNumbers;
use crik_tests::build::workspace;
use crik_tests::command::run;
use crik_tests::table::Table;
use crik_tests::wait::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const SECOND: i64 = 1_000_000_000;

/// The library with a page, and programs beside it.
struct Tree {
    directory: TempDir,
    installed: Installed,
}

impl Tree {
    /// Whose clocks are this many seconds ahead of the machine's.
    fn ahead(seconds: i64) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let installed = install::fresh_in([directory.path()].into_iter(), &[])?;
        let tree = Self { directory, installed };
        tree.move_on(seconds)?;
        Ok(tree)
    }

    /// As it is after a long time on an old machine.
    fn younger() -> Result<Self> {
        Self::ahead(86_400)
    }

    /// As it is when it began a minute after its machine, and is now on one that runs for longer.
    fn older() -> Result<Self> {
        Self::ahead(60 - machine::now()?.monotonic / SECOND)
    }

    /// Sets the tree's clocks on, as a restore does on a machine that is younger by so much.
    fn move_on(&self, seconds: i64) -> Result<()> {
        let moved = Clocks {
            monotonic: seconds * SECOND,
            monotonic_raw: seconds * SECOND,
            boottime: seconds * SECOND,
            ticks: seconds * 100,
        };
        Ok(install::rebase(&self.installed, moved, Clocks::default(), None)?)
    }

    fn compile(&self, compiler: &str, options: &[&str], source: &str) -> Result<PathBuf> {
        let program = self.directory.path().join(source.replace('.', "-"));
        let source = workspace().join("tests/programs/clocks").join(source);
        let (to, from) = (program.to_string_lossy(), source.to_string_lossy());
        run(
            compiler,
            &[options, &["-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", &to, &from]].concat(),
        )?;
        Ok(program)
    }

    fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command.env("LD_PRELOAD", install::preload(&self.installed, None));
        command
    }

    /// What a program prints, by lines of words.
    fn lines(&self, program: &Path, args: &[&str]) -> Result<Vec<Vec<String>>> {
        lines(self.command(program).args(args))
    }

    /// Whether a thread's time to wait lies in the page.
    fn waits(&self) -> Result<bool> {
        Ok(!self.owners()?.is_empty())
    }

    /// The threads that have slots.
    fn owners(&self) -> Result<Vec<u32>> {
        let page = fs::read(&self.installed.page)?;
        let owners = (0..SLOTS).map(owner_at).filter_map(|at| page[at..].first_chunk().copied());
        Ok(owners.map(u32::from_ne_bytes).filter(|owner| *owner != 0).collect())
    }

    fn give_all_slots_to(&self, thread: u32) -> Result<()> {
        let mut page = fs::read(&self.installed.page)?;
        for at in (0..SLOTS).map(owner_at) {
            page[at..at + 4].copy_from_slice(&thread.to_ne_bytes());
        }
        Ok(fs::write(&self.installed.page, page)?)
    }
}

fn owner_at(slot: usize) -> usize {
    offset_of!(Page, slots) + slot * size_of::<Slot>() + offset_of!(Slot, owner)
}

fn lines(command: &mut Command) -> Result<Vec<Vec<String>>> {
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
}

/// A program that is talked to, and killed when it is dropped.
struct Talking {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Talking {
    /// Started, and past its first line.
    fn start(command: &mut Command, first: &str) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().context("it has a standard output")?);
        let mut talking = Self { child, out };
        let line = talking.read()?;
        ensure!(line == first, "it said {line:?} and not {first:?}");
        Ok(talking)
    }

    fn read(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.out.read_line(&mut line)? > 0, "the program ended: {}", self.child.wait()?);
        Ok(line.trim().to_owned())
    }

    fn ask(&mut self) -> Result<Vec<f64>> {
        self.child.stdin.as_mut().context("it has a standard input")?.write_all(b"?\n")?;
        let line = self.read()?;
        line.split_whitespace().map(|word| Ok(word.parse()?)).collect()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    fn stop(&self) -> Result<()> {
        kill(self.pid(), Signal::SIGSTOP)?;
        wait_for("the program to stop", || (self.state() == Some('T')).then_some(()))
    }

    /// Its first thread: any other could take a signal that the process is sent.
    fn interrupt(&self) -> Result<()> {
        let pid = self.pid().as_raw();
        // SAFETY: it only sends a signal.
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, pid, libc::SIGUSR1) };
        ensure!(sent == 0, std::io::Error::last_os_error());
        Ok(())
    }

    fn go_on(&self) -> Result<()> {
        Ok(kill(self.pid(), Signal::SIGCONT)?)
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const GLIBC: &str = "cc";
const MUSL: &str = "musl-gcc";

/// How long a wait of 300 ms may take on a busy machine; the clocks are at least minutes apart.
const IN_TIME: std::ops::Range<u64> = 290..30_000;

fn milliseconds(line: &[String]) -> Result<u64> {
    Ok(line.last().context("an empty line")?.parse()?)
}

/// The ways to wait of `waits.c`, and whether a move can find one in flight.
fn ways(tree: &Tree, program: &Path) -> Result<Vec<(String, bool)>> {
    let listed = tree.lines(program, &["list"])?;
    ensure!(listed.len() > 10, "only {} ways", listed.len());
    Ok(listed.into_iter().map(|mut line| (line.remove(0), !line.is_empty())).collect())
}

fn every_wait_ends_in_time(compiler: &str, tree: &Tree) -> Result<()> {
    let program = tree.compile(compiler, &[], "waits.c")?;
    let mut table = Table::new(&format!("waits of 300 ms with {compiler}"));
    table.each(
        &ways(tree, &program)?,
        |(name, _)| name.clone(),
        |(name, _)| {
            let told = tree.lines(&program, &[name, "300"])?;
            let took = milliseconds(&told[told.len() - 1])?;
            ensure!(told.len() == 2 && IN_TIME.contains(&took), "{told:?}");
            Ok(format!("{took} ms"))
        },
    );
    table.finish()
}

#[test]
fn every_wait_ends_in_time_on_a_younger_machine() -> Result<()> {
    every_wait_ends_in_time(GLIBC, &Tree::younger()?)
}

#[test]
fn every_wait_ends_in_time_on_an_older_machine() -> Result<()> {
    every_wait_ends_in_time(GLIBC, &Tree::older()?)
}

#[test]
fn so_it_does_with_musl() -> Result<()> {
    every_wait_ends_in_time(MUSL, &Tree::younger()?)?;
    every_wait_ends_in_time(MUSL, &Tree::older()?)
}

#[test]
fn all_clocks_that_count_from_the_start_are_ahead_and_no_other() -> Result<()> {
    for compiler in [GLIBC, MUSL] {
        let tree = Tree::younger()?;
        let program = tree.compile(compiler, &[], "waits.c")?;
        let told = tree.lines(&program, &["offsets"])?;
        let expected = [("0", 0.0), ("1", 86_400.0), ("4", 86_400.0), ("6", 86_400.0), ("7", 86_400.0)];
        for ((clock, ahead), line) in expected.iter().zip(&told) {
            let [by_function, by_number] = [line[1].parse::<f64>()?, line[2].parse()?];
            ensure!(
                line[0] == *clock && (by_function - ahead).abs() < 0.2 && (by_number - ahead).abs() < 0.2,
                "{line:?}"
            );
        }
        ensure!(told[5] == ["times", "86400"], "{:?}", told[5]);
    }
    Ok(())
}

/// The page is changed as a restore changes it, while the wait is in flight: the wait of half a minute is over when the tree's clock
/// is set on by an hour.
fn in_flight(tree: &Tree, program: &Path, way: &str, milliseconds: &str, moved: i64) -> Result<u64> {
    let mut waiting = Talking::start(tree.command(program).args([way, milliseconds]), "waits")?;
    wait_for("a wait in the page", || (tree.waits().ok()? && waiting.state() == Some('S')).then_some(()))?;
    waiting.stop()?;
    tree.move_on(moved)?;
    // Where CRIU has the system call fail with EINTR, a handler does it here; where it repeats it, the kernel does.
    if way != "nanosleep_monotonic" {
        waiting.interrupt()?;
    }
    waiting.go_on()?;
    wait_for("the wait to end", || waiting.child.try_wait().ok()?)?;
    Ok(waiting.read()?.parse()?)
}

fn waits_in_flight(compiler: &str) -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(compiler, &[], "waits.c")?;
    let mut ways = ways(&tree, &program)?;
    ways.retain(|(_, in_flight)| *in_flight);
    let mut table = Table::new(&format!("waits in flight with {compiler}"));
    table.each(
        &ways,
        |(name, _)| name.clone(),
        |(name, _)| {
            let tree = Tree::younger()?;
            let on = in_flight(&tree, &program, name, "600000", 3600)?;
            ensure!(on < 60_000, "set on by an hour, a wait of ten minutes took {on} ms");
            let back = in_flight(&tree, &program, name, "1000", -3)?;
            ensure!((3_900..60_000).contains(&back), "set back by 3 s, a wait of a second took {back} ms");
            Ok(format!("{on} ms, {back} ms"))
        },
    );
    table.finish()
}

#[test]
fn a_wait_in_flight_ends_by_the_clock_that_the_tree_has_now() -> Result<()> {
    waits_in_flight(GLIBC)
}

#[test]
fn so_does_one_of_musl() -> Result<()> {
    waits_in_flight(MUSL)
}

#[test]
fn threads_beyond_the_slots_wait_too() -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(GLIBC, &[], "waits.c")?;
    // Process 1 lives.
    tree.give_all_slots_to(1)?;
    let told = tree.lines(&program, &["cond_monotonic", "300"])?;
    ensure!(IN_TIME.contains(&milliseconds(&told[1])?), "{told:?}");
    Ok(())
}

#[test]
fn slots_of_threads_that_are_gone_are_taken_again() -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(GLIBC, &[], "waits.c")?;
    let mut gone = Command::new("true").spawn()?;
    gone.wait()?;
    tree.give_all_slots_to(gone.id())?;
    let ours = |owner: &u32| *owner != gone.id();
    let mut waiting = Talking::start(tree.command(&program).args(["cond_monotonic", "2000"]), "waits")?;
    wait_for("a slot that is taken again", || tree.owners().ok()?.iter().any(ours).then_some(()))?;
    wait_for("the wait to end", || waiting.child.try_wait().ok()?)?;
    ensure!(IN_TIME.contains(&waiting.read()?.parse()?));
    Ok(())
}

#[test]
fn waits_that_are_left_by_a_jump_take_one_slot_again_and_again() -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(GLIBC, &[], "waits.c")?;
    tree.lines(&program, &["jumped", "300"])?;
    ensure!(!tree.waits()?, "{:?}", tree.owners()?);
    Ok(())
}

#[test]
fn python_goes_on() -> Result<()> {
    for tree in [Tree::younger()?, Tree::older()?] {
        let script = workspace().join("tests/programs/clocks/waits.py");
        for line in tree.lines(Path::new("python3"), &[&script.to_string_lossy()])? {
            let expected = if line[0] == "apart" { 0..1000 } else { IN_TIME };
            ensure!(expected.contains(&milliseconds(&line)?), "{line:?}");
        }
    }
    Ok(())
}

#[test]
fn steady_clocks_of_cpp_go_on() -> Result<()> {
    for tree in [Tree::younger()?, Tree::older()?] {
        let program = tree.compile("c++", &[], "steady.cpp")?;
        for line in tree.lines(&program, &[])? {
            ensure!(IN_TIME.contains(&milliseconds(&line)?), "{line:?}");
        }
    }
    Ok(())
}

#[test]
fn what_the_user_preloads_stays() -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(GLIBC, &[], "waits.c")?;
    let theirs = tree.compile(GLIBC, &["-shared", "-fPIC"], "theirs.c")?;
    let preload = install::preload(&tree.installed, Some(theirs.as_os_str()));
    let told = lines(tree.command(&program).arg("offsets").env("LD_PRELOAD", preload))?;
    ensure!(told[1] == ["1", "86400.0", "86400.0"] && told[6] == ["theirs", "1"], "{told:?}");
    Ok(())
}

#[test]
fn without_its_page_the_library_changes_nothing() -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(GLIBC, &[], "waits.c")?;
    let ahead = || -> Result<f64> { Ok(tree.lines(&program, &["offsets"])?[1][1].parse()?) };
    ensure!(ahead()? > 80_000.0);
    fs::write(&tree.installed.page, "no page")?;
    ensure!(ahead()?.abs() < 0.2);
    fs::remove_file(&tree.installed.page)?;
    ensure!(ahead()?.abs() < 0.2);
    Ok(())
}

#[test]
fn a_look_at_the_clock_costs_five_nanoseconds_more_at_most() -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(GLIBC, &[], "cost.c")?;
    let mut least = f64::MAX;
    for preload in [None, Some(()), Some(()), Some(())] {
        let mut command = tree.command(&program);
        if preload.is_none() {
            command.env_remove("LD_PRELOAD");
        }
        let told = lines(&mut command)?;
        let [program, libc, vdso] =
            [0, 1, 2].map(|line: usize| told[line][1].parse::<f64>().unwrap_or(f64::NAN));
        let how = if preload.is_some() { "preloaded" } else { "plain" };
        println!("{how:>10}: program {program:5.1} ns, C library {libc:5.1} ns, vDSO {vdso:5.1} ns");
        if preload.is_some() {
            least = least.min(program - vdso);
        }
    }
    ensure!(least <= 5.0, "{least:.1} ns");
    Ok(())
}

/// Programs find a file under the numbers that it had, by whatever they ask, and another file that has these here under those of the
/// first: both by each function.
#[test]
fn a_file_is_told_by_the_numbers_that_it_had() -> Result<()> {
    for compiler in [GLIBC, MUSL] {
        let tree = Tree::younger()?;
        let program = tree.compile(compiler, &[], "numbers.c")?;
        let [moved, other] = ["moved", "other"].map(|name| tree.directory.path().join(name));
        fs::write(&moved, "")?;
        fs::write(&other, "")?;
        let told = |path: &Path| tree.lines(&program, &[&path.to_string_lossy()]);
        let numbers = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
        let ((device, inode), (_, taken)) = (numbers(&moved)?, numbers(&other)?);
        is_told(&told(&moved)?, device, inode)?;
        let known = FileNumbers { path: moved.clone(), device: 0x0012_3456, inode: taken };
        let clocks = Clocks::default();
        install::rebase(&tree.installed, clocks, clocks, Some(&file_numbers::here(&[known])))?;
        is_told(&told(&moved)?, 0x0012_3456, taken)?;
        is_told(&told(&other)?, 0x0012_3456, inode)?;
        // As it is after a move to where it has them.
        install::rebase(&tree.installed, clocks, clocks, Some(&[]))?;
        is_told(&told(&moved)?, device, inode)?;
    }
    Ok(())
}

fn is_told(lines: &[Vec<String>], device: u64, inode: u64) -> Result<()> {
    let expected = [device.to_string(), inode.to_string()];
    let others: Vec<_> = lines.iter().filter(|line| line[1..] != expected).collect();
    ensure!(lines.len() >= 7 && others.is_empty(), "{others:?} and not {expected:?}");
    Ok(())
}

#[test]
fn a_look_at_a_file_costs_sixty_nanoseconds_more_at_most() -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(GLIBC, &[], "numbers.c")?;
    let path = program.to_string_lossy().into_owned();
    let cost =
        |command: &mut Command| -> Result<f64> { Ok(lines(command.args([&path, "cost"]))?[0][1].parse()?) };
    let plain = cost(&mut Command::new(&program))?;
    let many: Vec<Number> =
        (1..=4000).map(|number| Number { device: u64::MAX, here: number, told: number }).collect();
    for (numbers, when) in [(&[][..], "before a move"), (&many, "after it")] {
        install::rebase(&tree.installed, Clocks::default(), Clocks::default(), Some(numbers))?;
        let preloaded = cost(&mut tree.command(&program))?;
        println!("{when}: {plain:.1} ns without the library, {preloaded:.1} ns with it");
        ensure!(preloaded - plain <= 60.0, "{:.1} ns more {when}", preloaded - plain);
    }
    Ok(())
}

/// It takes three functions from whatever C library there is, and nothing else, so that it loads everywhere.
#[test]
fn the_library_is_small_and_needs_no_other() -> Result<()> {
    let tree = Tree::younger()?;
    let library = tree.installed.library.to_string_lossy().into_owned();
    let undefined = run("nm", &["-D", "--undefined-only", "--format=just-symbols", &library])?;
    let expected = BTreeSet::from(["__errno_location", "dl_iterate_phdr", "getauxval"]);
    ensure!(undefined.lines().collect::<BTreeSet<_>>() == expected, "{undefined}");
    let sections = run("readelf", &["-dWn", &library])?;
    ensure!(!sections.contains("(NEEDED)") && sections.contains("Build ID"), "{sections}");
    ensure!(LIBRARY.len() < 32 << 10, "{} bytes", LIBRARY.len());
    Ok(())
}

/// A static program's clock is set where it reads it, any number of times, while it looks at it all the time.
#[test]
fn a_static_programs_clock_is_set_in_the_vdso() -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(GLIBC, &["-static"], "reader.c")?;
    let mut reader = Talking::start(&mut Command::new(program), "looks")?;
    ensure!(coverage_of(&reader, &tree)? == Coverage::Static);
    let pid = reader.pid().as_raw();
    ensure!(vdso_stub::read(pid)?.is_none());
    for round in 0..20 {
        let offsets = Clocks {
            monotonic: (round * 1000 - 20_000) * SECOND - 1,
            monotonic_raw: 5 * SECOND,
            boottime: 7 * SECOND,
            ticks: 0,
        };
        reader.stop()?;
        vdso_stub::write(pid, &offsets)?;
        ensure!(vdso_stub::read(pid)? == Some(offsets));
        reader.go_on()?;
        let ahead = reader.ask()?;
        let expected = [0.0, (round * 1000 - 20_000) as f64, 5.0, (round * 1000 - 20_000) as f64, 7.0, -1.0];
        let right = ahead.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.2);
        ensure!(right && ahead.len() == 6, "{ahead:?} and not {expected:?}");
    }
    Ok(())
}

/// A thread that was frozen in a look at the clock has read this machine's by the time it comes out, and the offset is added to that.
#[test]
fn a_look_in_which_a_thread_is_frozen_is_right_too() -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(GLIBC, &["-static"], "reader.c")?;
    let mut helped = 0;
    // Each of its four threads is in the vDSO for most of the time; a fresh process, since only a first stub meets one there.
    wait_for("a thread that is frozen there", || {
        let mut reader = Talking::start(&mut Command::new(&program), "looks").ok()?;
        reader.stop().ok()?;
        helped += vdso_stub::write(reader.pid().as_raw(), &Clocks { monotonic: SECOND, ..Clocks::default() })
            .ok()?;
        reader.go_on().ok()?;
        ((reader.ask().ok()?[1] - 1.0).abs() < 0.2 && helped > 3).then_some(())
    })
}

fn coverage_of(program: &Talking, tree: &Tree) -> Result<Coverage> {
    Ok(coverage::of(&fs::read_to_string(format!("/proc/{}/maps", program.pid()))?, &tree.installed))
}

fn go(tree: &Tree, cgo: &str, source: &str) -> Result<PathBuf> {
    let program = tree.directory.path().join(format!("{source}-{cgo}"));
    let source = workspace().join("tests/programs/clocks").join(source);
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(source).env("CGO_ENABLED", cgo);
    let output = build.output().context("go is missing; see tests/setup.sh")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(program)
}

#[test]
fn so_is_that_of_a_go_program() -> Result<()> {
    let tree = Tree::younger()?;
    let program = go(&tree, "0", "reader.go")?;
    ensure!(coverage::is_from_go(&program)?);
    let mut reader = Talking::start(&mut Command::new(program), "looks")?;
    ensure!(coverage_of(&reader, &tree)? == Coverage::Static);
    ensure!(reader.ask()?[0] < 3000.0);
    for hours in [1, 48] {
        reader.stop()?;
        let ahead = hours * 3600 * SECOND;
        vdso_stub::write(reader.pid().as_raw(), &Clocks { monotonic: ahead, ..Clocks::default() })?;
        reader.go_on()?;
        let passed = reader.ask()?[0];
        ensure!((0.0..3000.0).contains(&(passed - hours as f64 * 3600.0)), "{passed} s");
    }
    Ok(())
}

/// Go's runtime reads the vDSO and its C code the library: with both, the offset is added once.
#[test]
fn a_go_program_with_c_in_it_has_one_clock() -> Result<()> {
    let tree = Tree::younger()?;
    let program = go(&tree, "1", "mixed.go")?;
    ensure!(coverage::is_from_go(&program)?);
    let mut reader = Talking::start(&mut tree.command(program), "looks")?;
    ensure!(coverage_of(&reader, &tree)? == Coverage::Library);
    reader.stop()?;
    let ahead = Clocks { monotonic: 86_400 * SECOND, ..Clocks::default() };
    vdso_stub::write(reader.pid().as_raw(), &ahead)?;
    reader.go_on()?;
    let [by_go, by_c] = [0, 1].map(|i| reader.ask().map(|told| told[i]));
    let (by_go, by_c) = (by_go?, by_c?);
    ensure!((86_400.0..90_000.0).contains(&by_go), "Go: {by_go} s");
    ensure!((by_c - 86_400.0).abs() < 0.2, "C: {by_c} s");
    Ok(())
}

/// Many processes start and wait at once, on slots that they share.
#[test]
fn processes_that_wait_at_once_do_not_meet() -> Result<()> {
    let tree = Tree::younger()?;
    let program = tree.compile(GLIBC, &[], "waits.c")?;
    let took = thread::scope(|scope| -> Result<Vec<u64>> {
        let many: Vec<_> = (0..40)
            .map(|i| {
                let (tree, program) = (&tree, &program);
                scope.spawn(move || tree.lines(program, &["cond_monotonic", &(300 + 10 * i).to_string()]))
            })
            .collect();
        many.into_iter().map(|one| milliseconds(&one.join().expect("no test panics")?[1])).collect()
    })?;
    for (i, took) in took.iter().enumerate() {
        ensure!((290 + 10 * i as u64..30_000).contains(took), "{i}: {took} ms");
    }
    ensure!(!tree.waits()?);
    Ok(())
}
