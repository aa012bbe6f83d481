# Completion of exportctl for fish. For this shell:
#     exportctl completion fish | source
# For every shell:
#     exportctl completion fish > ~/.config/fish/completions/exportctl.fish

function __exportctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l lines ($program __complete fish $words $current 2>/dev/null)
    set -l added $lines[1]
    set -e lines[1]
    test -n "$lines"; and printf '%s\n' $lines
    # Where the value is in the same word as its option, the shell replaces both.
    set -l head (string match -r -- '^--[a-z-]+=' $current | string collect)
    set -l path (string sub -s (math (string length -- "$head") + 1) -- "$current")
    # A command that nobody has completions for gets those of files, `~` and quoting included.
    set -l files
    contains -- "$added" files folders; and set files (complete -C "__exportctl_files $path")
    test "$added" = folders; and set files (string match -r '^.*/$' -- $files)
    for file in $files
        echo "$head$file"
    end
end

complete -c exportctl -f -a '(__exportctl_complete)'
