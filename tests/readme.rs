//! The README's first program is the example `quickstart`, word for word; its other programs are doctests.

#[test]
fn the_first_program_of_the_readme_is_the_quickstart_example() {
    let example = include_str!("../examples/quickstart.rs");
    let (_, program) = example.split_once("\n\n").unwrap();
    let readme = include_str!("../README.md");
    let first = readme.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(first, Some(program));
}

#[test]
fn no_program_of_the_readme_hides_a_line() {
    let mut in_rust = false;
    for line in include_str!("../README.md").lines() {
        if line.starts_with("```") {
            in_rust = line.starts_with("```rust");
        }
        assert!(!in_rust || (line != "#" && !line.starts_with("# ")), "only rustdoc hides `{line}`");
    }
}
