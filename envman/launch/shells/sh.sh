# What an interactive sh of `envman shell` reads (its ENV): the user's own file, and then what puts the
# environment first again. Such a shell calls nothing before a prompt, so this is done once.

if [ -n "${ENVMAN_SHELL_ENV-}" ]; then
    export ENV="$ENVMAN_SHELL_ENV"
    if [ -r "$ENV" ]; then . "$ENV"; fi
else
    unset ENV
fi

eval "$ENVMAN_SHELL_AGAIN"
export PATH="$ENVMAN_SHELL_BIN:$PATH"
hash -r 2>/dev/null
unalias python python3 pip pip3 pytest airflow 2>/dev/null
unset -f python python3 pip pip3 pytest airflow 2>/dev/null
[ -n "${VIRTUAL_ENV_DISABLE_PROMPT-}" ] || PS1="($ENVMAN_SHELL) ${PS1-\$ }"
unset ENVMAN_SHELL_AGAIN ENVMAN_SHELL_BIN ENVMAN_SHELL_ENV
