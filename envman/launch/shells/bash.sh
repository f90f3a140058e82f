# What a bash of `envman shell` reads: the user's own file, and then what puts the environment first again.
# It is bash's --rcfile where it is interactive, and its BASH_ENV where it is not.

if [[ -n ${ENVMAN_SHELL_BASH_ENV-} ]]; then export BASH_ENV=$ENVMAN_SHELL_BASH_ENV; else unset BASH_ENV; fi
if [[ $- == *i* ]]; then
    if [[ -r ~/.bashrc ]]; then . ~/.bashrc; fi
elif [[ -n ${BASH_ENV-} && -r $BASH_ENV ]]; then
    . "$BASH_ENV"
fi

__envman_bin=$ENVMAN_SHELL_BIN
__envman_prompt="($ENVMAN_SHELL) "
builtin eval "$ENVMAN_SHELL_AGAIN"
builtin unset ENVMAN_SHELL_AGAIN ENVMAN_SHELL_BIN ENVMAN_SHELL_BASH_ENV

__envman_own() { # a program of the environment's that an alias or a function hides
    builtin local folder IFS=:
    for folder in $__envman_bin; do [[ -x $folder/$1 ]] && return; done
    return 1
}

for __envman_name in "${!BASH_ALIASES[@]}"; do
    if __envman_own "$__envman_name"; then builtin unalias -- "$__envman_name"; fi
done
for __envman_name in $(builtin compgen -A function); do
    if __envman_own "$__envman_name"; then builtin unset -f -- "$__envman_name"; fi
done
builtin unset __envman_name

__envman_first() {
    builtin local status=$? rest=":$PATH:"
    if [[ $rest != ":$__envman_bin:"* ]]; then
        rest=${rest//":$__envman_bin:"/:}
        builtin export PATH="$__envman_bin${rest%:}"
        builtin hash -r
    fi
    if [[ -z ${VIRTUAL_ENV_DISABLE_PROMPT-} && ${PS1-} != "$__envman_prompt"* ]]; then
        PS1=$__envman_prompt${PS1-}
    fi
    return $status
}

__envman_first
if [[ $- == *i* ]]; then
    if [[ $(builtin declare -p PROMPT_COMMAND 2>/dev/null) == "declare -a"* ]]; then
        PROMPT_COMMAND+=(__envman_first)
    else
        PROMPT_COMMAND=${PROMPT_COMMAND:+$PROMPT_COMMAND$'\n'}__envman_first
    fi
fi
