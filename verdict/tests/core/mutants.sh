#!/bin/sh
# Tries the defects of mutants.tsv one by one in a copy of the workspace, and tells which tests notice.
# Usage: mutants.sh [WORD]   only those whose line contains WORD
# Prints a line for each; exits 1 if one survives or no longer fits the code.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
(cd "$root" && tar cf - --exclude=./target --exclude=./.git .) | (cd "$copy" && tar xf -)
# A directory of its own: cargo would take what it builds here for the workspace's own artifacts.
export CARGO_TARGET_DIR="${MUTANTS_TARGET_DIR:-$root/target/mutants}" RUST_BACKTRACE=0 PROPTEST_MAX_SHRINK_ITERS=0

bad=0 count=0
grep -v '^#' "$here/mutants.tsv" | grep -F -- "${1-}" > "$copy/list"
while IFS= read -r line <&3; do
    count=$((count + 1))
    file=$(printf '%s' "$line" | cut -f1)
    name="$file: $(printf '%s' "$line" | cut -f2)"
    source="$copy/verdict/src/$file"
    cp "$source" "$copy/whole"
    if ! printf '%s' "$line" | perl -e '
        my (undef, undef, $old, $new) = split /\t/, <STDIN>, -1;
        s/\\(.)/$1 eq "n" ? "\n" : $1 eq "t" ? "\t" : $1/ge for $old, $new;
        local $/; open my $in, "<", $ARGV[0]; my $text = <$in>; close $in;
        my $at = index $text, $old;
        exit 1 if $at < 0 or index($text, $old, $at + 1) >= 0;
        substr $text, $at, length $old, $new;
        open my $out, ">", $ARGV[0]; print $out $text;' "$source"
    then
        echo "STALE     $name"; bad=1; continue
    fi
    cd "$copy"
    if ! cargo test -q -p verdict --test core --no-run > "$copy/log" 2>&1; then
        echo "NO BUILD  $name"; sed 's/^/    /' "$copy/log"; bad=1
    else
        # The tests of the same name first: most defects end there.
        case "$file" in evidence.rs) first=memory ;; headers.rs) first=upstream ;; *) first=${file%.rs} ;; esac
        if cargo test -q -p verdict --test core -- "$first::" > "$copy/log" 2>&1 \
            && cargo test -q -p verdict --test core > "$copy/log" 2>&1
        then
            echo "SURVIVED  $name"; bad=1
        else
            echo "caught    $name, by $(grep -o '^---- [a-z_0-9:]*' "$copy/log" | cut -c6- | tr '\n' ' ')"
        fi
    fi
    cp "$copy/whole" "$source"
done 3< "$copy/list"
echo "$count tried"
exit $bad
