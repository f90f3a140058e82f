# What a fish of `envman shell` runs once it has read the user's own files: it puts the environment first
# again, now and before each prompt.

set -g __envman_bin (string split : -- $ENVMAN_SHELL_BIN)
set -g __envman_name $ENVMAN_SHELL
eval $ENVMAN_SHELL_AGAIN
set -e ENVMAN_SHELL_AGAIN
set -e ENVMAN_SHELL_BIN

function __envman_first --on-event fish_prompt
    set -l count (count $__envman_bin)
    if test (count $PATH) -lt $count; or test "$PATH[1..$count]" != "$__envman_bin"
        set -l rest
        for folder in $PATH
            contains -- $folder $__envman_bin; or set -a rest $folder
        end
        set -gx PATH $__envman_bin $rest
    end
end

for folder in $__envman_bin
    for name in (functions --names --all)
        test -x $folder/$name; and functions --erase $name
    end
end
__envman_first
if status is-interactive; and not set -q VIRTUAL_ENV_DISABLE_PROMPT
    functions --copy fish_prompt __envman_fish_prompt
    function fish_prompt
        printf '(%s) ' $__envman_name
        __envman_fish_prompt
    end
end
