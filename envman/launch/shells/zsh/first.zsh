# Puts the environment first again, once now and, where zsh is interactive, before each prompt.

typeset -g __envman_bin=$ENVMAN_SHELL_BIN __envman_prompt="($ENVMAN_SHELL) "
builtin eval $ENVMAN_SHELL_AGAIN
builtin unset ENVMAN_SHELL_AGAIN ENVMAN_SHELL_BIN ENVMAN_SHELL_ZDOTDIR __envman_files

__envman_own() {
    builtin emulate -L zsh
    builtin local folder
    for folder in ${(s.:.)__envman_bin}; do [[ -x $folder/$1 ]] && return; done
    return 1
}

zmodload -F zsh/parameter p:aliases p:functions
for __envman_name in ${(k)aliases}; do
    __envman_own $__envman_name && builtin unalias -- $__envman_name
done
for __envman_name in ${(k)functions}; do
    __envman_own $__envman_name && builtin unset -f -- $__envman_name
done
unset __envman_name

__envman_first() {
    builtin local rest=":$PATH:"
    if [[ $rest != ":$__envman_bin:"* ]]; then
        rest=${rest//":$__envman_bin:"/:}
        builtin export PATH="$__envman_bin${rest%:}"
        builtin rehash
    fi
    if [[ -z ${VIRTUAL_ENV_DISABLE_PROMPT-} && ${PROMPT-} != "$__envman_prompt"* ]]; then
        PROMPT=$__envman_prompt${PROMPT-}
    fi
    return 0
}

__envman_first
