//! What the documents promise is what the programs do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use crik_agent::tree::criu::advice;
use crik_tests::build::{cargo_bin, workspace};
use crik_tests::corpus::{Group, workloads};
use serde::Deserialize;
use serde_yaml::Value;

fn read(path: &str) -> Result<String> {
    fs::read_to_string(workspace().join(path)).with_context(|| path.to_owned())
}

/// What `crik` says to a configuration; the command is one that does nothing.
fn told(config: &str) -> Result<(Option<i32>, String)> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), config)?;
    let output = Command::new(cargo_bin("crik-agent", "crik", &[])?)
        .args(["run", "--config-path"])
        .arg(file.path())
        .args(["--", "true"])
        .env("POD_NAME", "job-0")
        .env("JOB_UID", "5c1e")
        .env("JOB_COMPLETION_INDEX", "0")
        .output()?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn the_readme_has_every_key_of_the_configuration() -> Result<()> {
    let (code, said) = told("no-such-key: 1")?;
    ensure!(code == Some(78), "{said}");
    let (_, keys) = said.split_once("expected one of ").context("no list of keys")?;
    let readme = read("README.md")?;
    let nested = ["carry", "exitCode", "hooks"];
    let keys: Vec<&str> = keys.split('`').skip(1).step_by(2).filter(|key| !nested.contains(key)).collect();
    ensure!(keys.len() > 10, "{keys:?}");
    let inner = [
        "carry.layer",
        "carry.memory",
        "carry.emptyDirs",
        "carry.exclude",
        "carry.maxBytes",
        "exitCode.checkpointed",
        "hooks.preCheckpoint",
        "hooks.postCheckpoint",
        "hooks.postRestore",
    ];
    for key in keys.into_iter().chain(inner) {
        ensure!(readme.contains(&format!("| `{key}` |")), "the README's table lacks {key}");
    }
    Ok(())
}

#[test]
fn the_readme_has_every_verb_of_the_makefile() -> Result<()> {
    let (readme, makefile) = (read("README.md")?, read("Makefile")?);
    let verbs = makefile.lines().find_map(|line| line.strip_prefix(".PHONY:")).context("no verbs")?;
    // The others set up by these.
    let told = |verb: &&str| !["setup", "tools"].contains(verb);
    for verb in verbs.split_whitespace().filter(told) {
        ensure!(readme.contains(&format!("`make {verb}`")), "the README's table lacks make {verb}");
    }
    Ok(())
}

#[test]
fn the_readme_has_every_exit_code() -> Result<()> {
    let (readme, source) = (read("README.md")?, read("agent/src/base/exit_codes.rs")?);
    let codes = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": i32 = "));
    let mut seen = 0;
    for (name, code) in codes.map(|(name, code)| (name, code.trim_end_matches(';'))) {
        seen += 1;
        let shown = match name {
            // The base of another row.
            "SIGNAL_BASE" => continue,
            _ => format!("| {code} |"),
        };
        ensure!(readme.contains(&shown), "the README's table lacks {name}, {code}");
    }
    ensure!(seen >= 7, "exit_codes.rs has another form");
    Ok(())
}

/// All objects of a manifest.
fn objects(path: &str) -> Result<Vec<Value>> {
    let text = read(path)?;
    serde_yaml::Deserializer::from_str(&text).map(|document| Ok(Value::deserialize(document)?)).collect()
}

#[test]
fn the_configuration_of_the_example_is_accepted() -> Result<()> {
    let example = objects("deploy/examples/counter/counter.yaml")?;
    let config = example.iter().find(|object| object["kind"] == "ConfigMap").context("no ConfigMap")?;
    let text = config["data"]["config.yaml"].as_str().context("no config.yaml")?;
    // Its volume is not here, which is said; what is wrong with the text would be 78.
    let (code, said) = told(text)?;
    ensure!(code == Some(0) && said.contains("/checkpoints does not exist"), "{code:?} {said}");
    Ok(())
}

#[test]
fn the_example_pod_has_what_the_agent_asks_for() -> Result<()> {
    let example = objects("deploy/examples/counter/counter.yaml")?;
    let set = example.iter().find(|object| object["kind"] == "StatefulSet").context("no StatefulSet")?;
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let added =
        container["securityContext"]["capabilities"]["add"].as_sequence().context("no capabilities")?;
    ensure!(
        added.iter().map(Value::as_str).eq([Some("CHECKPOINT_RESTORE"), Some("SYS_PTRACE")]),
        "{added:?}"
    );
    ensure!(container["securityContext"]["seccompProfile"]["type"] == "Unconfined");
    let variables: Vec<&str> =
        container["env"].as_sequence().context("no env")?.iter().filter_map(|v| v["name"].as_str()).collect();
    ensure!(variables == ["POD_NAME", "KUBERNETES_NODE_NAME"], "{variables:?}");
    Ok(())
}

#[test]
fn the_controllers_manifest_asks_for_no_more_than_it_needs() -> Result<()> {
    let manifest = objects("deploy/controller.yaml")?;
    let role = manifest.iter().find(|object| object["kind"] == "ClusterRole").context("no ClusterRole")?;
    let expected: Value = serde_yaml::from_str(
        "[{apiGroups: [''], resources: [nodes], verbs: [list, watch]},
          {apiGroups: [''], resources: [pods], verbs: [get]}]",
    )?;
    ensure!(role["rules"] == expected, "{role:?}");
    Ok(())
}

#[test]
fn the_charts_readme_has_every_value() -> Result<()> {
    let values: Value = serde_yaml::from_str(&read("charts/crik/values.yaml")?)?;
    let readme = read("charts/crik/README.md")?;
    // Kubernetes' own objects, each of which is one value.
    let whole =
        ["resources", "strategy", "livenessProbe", "readinessProbe", "podSecurityContext", "securityContext"];
    let mut seen = 0;
    for (key, value) in values.as_mapping().context("no values")? {
        let key = key.as_str().context("no name")?;
        let inner = value.as_mapping().filter(|inner| !inner.is_empty() && !whole.contains(&key));
        let names: Vec<String> = match inner {
            Some(inner) => {
                inner.keys().filter_map(|name| Some(format!("{key}.{}", name.as_str()?))).collect()
            }
            None => vec![key.to_owned()],
        };
        for name in names {
            seen += 1;
            let rows = readme.lines().filter(|line| line.starts_with("| `"));
            let listed =
                |row: &str| row.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{name}`")));
            ensure!(rows.into_iter().any(listed), "the chart's README lacks {name}");
        }
    }
    ensure!(seen >= 25, "{seen} values");
    Ok(())
}

/// The cells of the tables in docs/programs.md that have this column, by their columns' names.
fn programs(with: &str) -> Result<Vec<BTreeMap<String, String>>> {
    rows(&read("docs/programs.md")?, "program", with)
}

/// The cells of a page's tables whose first column is called so, and that have this one.
fn rows(page: &str, first: &str, with: &str) -> Result<Vec<BTreeMap<String, String>>> {
    let cells = |line: &str| -> Option<Vec<String>> {
        let inner = line.strip_prefix("| ")?.strip_suffix(" |")?.replace("\\|", "\0");
        Some(inner.split(" | ").map(|cell| cell.trim().replace('\0', "|")).collect())
    };
    let (mut head, mut rows) = (Vec::new(), Vec::new());
    for cells in page.lines().filter_map(cells) {
        match cells[0].as_str() {
            name if name == first => head = cells,
            "---" => (),
            _ if head.iter().any(|name| name == with) => {
                ensure!(cells.len() == head.len(), "{cells:?} has not the columns {head:?}");
                rows.push(head.iter().cloned().zip(cells).collect());
            }
            _ => (),
        }
    }
    Ok(rows)
}

/// What `make corpus` has written last about how many programs go on.
#[test]
fn the_readme_counts_the_programs_as_the_tables_have_them() -> Result<()> {
    let rows = programs("crik")?;
    let count = |column: &str, holds: fn(&str) -> bool| {
        rows.iter().filter(|row| row.get(column).is_some_and(|cell| holds(cell))).count()
    };
    let ahead =
        rows.iter().filter(|row| row["crik"] == "goes on" && row["the Go recipe"].starts_with("fails"));
    let counted = [
        rows.len(),
        count("crik", |cell| cell == "goes on"),
        count("crik", |cell| cell.starts_with("refused; goes on with ")),
        count("crik", |cell| cell == "refused"),
        count("plain CRIU", |cell| cell == "goes on"),
        count("the Go recipe", |cell| cell == "goes on"),
        ahead.count(),
    ];
    for document in ["README.md", "docs/programs.md"] {
        let text = read(document)?;
        let (_, told) = text.split_once("\nOf ").context("no summary")?;
        let (told, _) = told.split_once("it does not.").context("the summary has no end")?;
        let told: Vec<usize> =
            told.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        ensure!(told == counted, "{document} says {told:?}, and the tables have {counted:?}");
    }
    Ok(())
}

/// Each program but those that show one thing of the kernel alone.
#[test]
fn what_the_readme_says_of_languages_is_what_was_tried_of_them() -> Result<()> {
    let (readme, tried) = (read("README.md")?, programs("crik")?);
    let (_, section) = readme.split_once("<!-- by hand again -->").context("no table")?;
    let (table, _) = section.split_once("\n## ").context("no end")?;
    let mut named = BTreeSet::new();
    for row in rows(table, "language or runtime", "goes on")? {
        for program in row["of the corpus"].split(", ").map(|name| name.trim_matches('`')) {
            ensure!(named.insert(program.to_owned()), "{program} stands in two rows");
            let came = tried.iter().find(|tried| tried["program"] == program).map(|tried| &*tried["crik"]);
            ensure!(came == Some("goes on"), "{program}: {came:?}, in the row {row:?}");
            is_run_as_said(program, &row["goes on"]).with_context(|| program.to_owned())?;
        }
    }
    let all = workloads()?.into_iter().filter(|one| one.group != Group::Kernel).map(|one| one.name);
    let all: BTreeSet<String> = all.collect();
    ensure!(named == all, "the README's table lacks {:?}", all.difference(&named).collect::<Vec<_>>());
    Ok(())
}

/// What the table says that a program takes is what it has in the corpus.
fn is_run_as_said(program: &str, said: &str) -> Result<()> {
    let all = workloads()?;
    let one = all.iter().find(|one| one.name == program).context("no such program")?;
    let file = read(&format!("tests/workloads/{program}.toml"))?;
    let takes = said.split(';').next().unwrap_or_default();
    let words: Vec<&str> = takes.split('`').skip(1).step_by(2).collect();
    for word in &words {
        let is_so = if *word == "hostUsers: false" { !one.host_users } else { file.contains(word) };
        ensure!(is_so, "it goes on without {word}, of {said:?}");
    }
    let plain = one.host_users && one.config.is_none();
    ensure!(plain || !words.is_empty(), "it has more than {said:?} says");
    Ok(())
}

#[test]
fn nothing_that_criu_does_alone_fails_and_fifteen_programs_and_more_the_go_recipe_cannot() -> Result<()> {
    let rows = programs("crik")?;
    let alone = |row: &BTreeMap<String, String>| {
        [&row["plain CRIU"], &row["the Go recipe"]].iter().any(|cell| *cell == "goes on")
    };
    let behind: Vec<&String> =
        rows.iter().filter(|row| alone(row) && row["crik"] != "goes on").map(|row| &row["program"]).collect();
    ensure!(behind.is_empty(), "crik is behind with {behind:?}");
    let failing: Vec<&String> =
        rows.iter().filter(|row| row["crik"] == "**fails**").map(|row| &row["program"]).collect();
    ensure!(failing.is_empty(), "these fail: {failing:?}");
    let ahead =
        rows.iter().filter(|row| row["crik"] == "goes on" && row["the Go recipe"].starts_with("fails"));
    ensure!(ahead.count() >= 15);
    Ok(())
}

#[test]
fn of_every_error_of_criu_that_a_program_met_a_remedy_is_known() -> Result<()> {
    let rows = programs("why")?;
    // With the place in CRIU's source at which it was told.
    let errors: Vec<&String> = rows.iter().map(|row| &row["why"]).filter(|why| why.contains(".c:")).collect();
    let unknown: Vec<&&String> = errors.iter().filter(|error| advice::known(error).is_none()).collect();
    ensure!(unknown.is_empty(), "agent/src/tree/criu/advice/table.rs lacks {unknown:#?}");
    ensure!(errors.len() > 50, "programs.md has another form");
    Ok(())
}

/// What of a file of source is neither a unit test nor a comment.
fn said(file: &str) -> String {
    let program = file.split_once("#[cfg(test)]\nmod tests {").map_or(file, |(program, _)| program);
    let lines = program.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| line.to_owned() + "\n").collect()
}

/// The source of agent, store and controller without tests and comments, with strings that go over several lines joined.
fn source() -> Result<String> {
    let all = ["agent/src", "controller/src", "store/src"].map(|of| workspace().join(of));
    let (mut whole, mut directories) = (String::new(), all.to_vec());
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                whole += &said(&fs::read_to_string(path)?);
            }
        }
    }
    let parts = whole.split("\\\n").map(str::trim_start);
    Ok(parts.collect())
}

#[test]
fn the_lines_that_troubleshooting_begins_with_are_what_is_logged() -> Result<()> {
    let (document, source) = (read("docs/troubleshooting.md")?, source()?);
    let mut seen = 0;
    for heading in document.lines().filter_map(|line| line.strip_prefix("### `")) {
        let quoted = heading.strip_suffix('`').with_context(|| format!("{heading}: no closing quote"))?;
        for part in quoted.split("`, `").flat_map(|line| line.split('…')).filter(|part| part.trim().len() > 2)
        {
            seen += 1;
            ensure!(source.contains(part), "nobody says {part:?}, of {quoted:?}");
        }
    }
    ensure!(seen > 20, "troubleshooting.md has another form");
    Ok(())
}

/// The container of an example, and the pod's specification.
fn pod_of(name: &str) -> Result<(Value, Value)> {
    let example = objects(&format!("deploy/examples/{name}/{name}.yaml"))?;
    let has_pods = |object: &&Value| ["StatefulSet", "Job"].iter().any(|kind| object["kind"] == *kind);
    let object = example.iter().find(has_pods).context("no pods")?;
    let pod = object["spec"]["template"]["spec"].clone();
    Ok((pod["containers"][0].clone(), object["spec"].clone()))
}

#[test]
fn every_example_lets_a_restore_take_its_time() -> Result<()> {
    for name in EXAMPLES {
        let (container, _) = pod_of(name)?;
        let probe = &container["startupProbe"];
        let number = |key: &str| probe[key].as_u64().unwrap_or_default();
        let seconds = number("periodSeconds") * number("failureThreshold");
        // As long as restoreTimeout, the default of which is ten minutes.
        ensure!(seconds >= 600, "{name}: {seconds} s");
    }
    Ok(())
}

#[test]
fn every_example_of_a_job_ignores_what_is_no_failure_and_is_none_but_itself() -> Result<()> {
    for name in ["batch", "training"] {
        let (container, job) = pod_of(name)?;
        let codes = &job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"];
        ensure!(*codes == serde_yaml::from_str::<Value>("[75, 143]")?, "{name}: {codes:?}");
        let uid =
            container["env"].as_sequence().context("no env")?.iter().find(|one| one["name"] == "JOB_UID");
        let path = uid.context("no JOB_UID")?["valueFrom"]["fieldRef"]["fieldPath"].as_str();
        ensure!(path == Some("metadata.labels['batch.kubernetes.io/controller-uid']"), "{name}: {path:?}");
        ensure!(read(&format!("deploy/examples/{name}/{name}.yaml"))?.contains("-${JOB_UID}-"), "{name}");
    }
    Ok(())
}

const EXAMPLES: [&str; 5] = ["counter", "batch", "redis", "training", "ordinary-user"];

#[test]
fn the_configuration_of_every_example_is_accepted() -> Result<()> {
    for name in EXAMPLES {
        let example = objects(&format!("deploy/examples/{name}/{name}.yaml"))?;
        let config = example.iter().find(|object| object["kind"] == "ConfigMap").context("no ConfigMap")?;
        let (code, said) = told(config["data"]["config.yaml"].as_str().context("no config.yaml")?)?;
        ensure!(code == Some(0), "{name}: {code:?} {said}");
    }
    Ok(())
}

#[test]
fn the_configuration_that_install_gives_for_short_notices_is_accepted() -> Result<()> {
    let document = read("docs/install.md")?;
    let (_, rest) = document.split_once("    actOn: notice\n").context("it is not there")?;
    let lines = rest.lines().map_while(|line| line.strip_prefix("    "));
    // What the README's configuration has too.
    let others =
        ["imageDir: /checkpoints/${POD_NAME}", "nodeStateServerURL: http://crik-controller.crik:9376"];
    let config: Vec<&str> = others.into_iter().chain(["actOn: notice"]).chain(lines).collect();
    ensure!(config.len() > 6, "{config:?}");
    let (code, said) = told(&config.join("\n"))?;
    ensure!(code == Some(0), "{code:?} {said}");
    Ok(())
}

/// The suites that prove the rows of a page: in backquotes, in the last cell, in parentheses.
fn proofs(page: &str) -> BTreeSet<&str> {
    let cells = page.lines().filter_map(|line| Some(line.strip_suffix(") |")?.rsplit_once("| (")?.1));
    let words = cells.flat_map(|cell| cell.split(", "));
    // Others are commands, and what has its test beside its code.
    let words = words.filter_map(|word| word.strip_prefix('`')?.strip_suffix('`'));
    words.filter(|word| !word.contains(' ')).collect()
}

/// The rows of tables whose last column has no name, and is for the proof, that have none.
fn unproved(page: &str) -> Vec<&str> {
    let (mut wanted, mut rows) = (false, Vec::new());
    for lines in page.lines().collect::<Vec<_>>().windows(2) {
        let [line, next] = lines else { continue };
        match next.starts_with("| ---") {
            true => wanted = line.ends_with("| |"),
            false
                if wanted
                    && line.starts_with("| ")
                    && !line.starts_with("| ---")
                    && !line.ends_with(") |") =>
            {
                rows.push(*line);
            }
            false => (),
        }
    }
    rows
}

#[test]
fn what_is_said_of_faults_names_suites_that_there_are_and_all_of_the_controller() -> Result<()> {
    let page = read("docs/faults.md")?;
    ensure!(unproved(&page).is_empty(), "these rows name no suite: {:#?}", unproved(&page));
    let named = proofs(&page);
    let entries = fs::read_dir(workspace().join("tests/tests"))?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()));
    let suites: BTreeSet<String> = names.collect();
    let absent: Vec<_> = named.iter().filter(|name| !suites.contains(**name)).collect();
    ensure!(named.len() > 30 && absent.is_empty(), "there is no {absent:?}");
    let of_controller = |name: &&String| name.starts_with("controller_") || name.starts_with("kubernetes_");
    // What it counts, how much it carries and by which way it asks are no faults.
    let others = ["controller_metrics", "controller_load", "controller_storms", "controller_proxy"];
    let silent = |name: &&String| !named.contains(name.as_str()) && !others.contains(&name.as_str());
    let unnamed: Vec<_> = suites.iter().filter(of_controller).filter(silent).collect();
    ensure!(unnamed.is_empty(), "docs/faults.md does not name {unnamed:?}");
    Ok(())
}
