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
    set -l head (string match -r -- '^--[a-z-]+=' $current)
    set -l path (string replace -- "$head" '' $current)
    switch "$added"
        case files
            for found in (__fish_complete_path "$path")
                echo $head$found
            end
        case folders
            for found in (__fish_complete_directories "$path" '')
                echo $head$found
            end
    end
end

complete -c exportctl -f -a '(__exportctl_complete)'
