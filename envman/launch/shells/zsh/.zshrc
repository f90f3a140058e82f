# What an interactive zsh of `envman shell` reads next: the user's own file, and then what puts the
# environment first again, before each prompt.

if [[ -n $ENVMAN_SHELL_ZDOTDIR ]]; then
    export ZDOTDIR=$ENVMAN_SHELL_ZDOTDIR
else
    unset ZDOTDIR
fi
[[ ${HISTFILE-} == $__envman_files/* ]] && HISTFILE=${ZDOTDIR:-$HOME}/${HISTFILE:t}
[[ -r ${ZDOTDIR:-$HOME}/.zshrc ]] && source ${ZDOTDIR:-$HOME}/.zshrc
source $__envman_files/first.zsh
typeset -ga precmd_functions
precmd_functions+=(__envman_first)
