//! `crik`: the agent's program.

fn main() {
    std::process::exit(crik_agent::cli::main())
}
