# What a zsh of `envman shell` reads first: the user's own file. An interactive one reads .zshrc beside this
# next, any other one is ready.

__envman_files=$ZDOTDIR
if [[ -n $ENVMAN_SHELL_ZDOTDIR ]]; then
    export ZDOTDIR=$ENVMAN_SHELL_ZDOTDIR
else
    unset ZDOTDIR
fi
[[ -r ${ZDOTDIR:-$HOME}/.zshenv ]] && source ${ZDOTDIR:-$HOME}/.zshenv
ENVMAN_SHELL_ZDOTDIR=${ZDOTDIR-}
if [[ -o interactive ]]; then
    ZDOTDIR=$__envman_files
else
    source $__envman_files/first.zsh
fi
