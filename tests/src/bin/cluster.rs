//! `make cluster-up`, `make cluster-down`: a real cluster of two nodes on this machine.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use crik_tests::cluster::{hold, images};
use crik_tests::tools;

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("up") => {
            hold::up()?;
            println!("export KUBECONFIG={}", hold::kubeconfig().display());
            println!("export PATH={}:$PATH", tools::directory()?.display());
            Ok(())
        }
        Some("images") => {
            for image in images::build_all(&images::RECIPES)? {
                println!("{:>7.1} MB  {}", image.size()? as f64 / 1e6, image.name);
            }
            Ok(())
        }
        Some("down") => hold::down(),
        Some("hold") => hold::hold(Path::new(&std::env::args().nth(2).context("where is the log?")?)),
        _ => bail!("usage: cluster up|down|images"),
    }
}
