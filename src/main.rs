//! The `hogwatch` program: see [`hogwatch::cli`].

fn main() -> std::process::ExitCode {
    hogwatch::cli::main()
}
