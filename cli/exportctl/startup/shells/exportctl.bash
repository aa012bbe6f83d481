# Completion of exportctl for bash. For this shell:
#     source <(exportctl completion bash)
# For every shell:
#     exportctl completion bash > ~/.local/share/bash-completion/completions/exportctl

_exportctl() {
    local program=${1/#\~/$HOME} added= line word
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $added ]]; then
            added=$line
        else
            word=${line%%$'\t'*}
            # Among folders bash quotes by itself.
            [[ $added != folders && $word == *[!A-Za-z0-9_@%+=:,./-]* ]] && printf -v word %q "$word"
            COMPREPLY+=("$word")
        fi
    done < <("$program" __complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    case $added in
        files)
            # The bash of macOS has no compopt.
            if ! compopt -o default 2>/dev/null; then
                while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$2")
            fi
            ;;
        folders)
            if ! compopt -o filenames -o plusdirs 2>/dev/null; then
                while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$2")
            fi
            ;;
    esac
}

complete -F _exportctl exportctl
