# A program of Python's that the environment of `envman shell` has not: one of another interpreter's, that
# stands further behind on PATH, would install or run things there.

name=${0##*/}
case $name in
pip*) remedy="Nothing is installed into an environment by hand: envman add ${ENVMAN_SHELL-ENVIRONMENT} PACKAGE --build" ;;
*) remedy="For tests: envman add ${ENVMAN_SHELL-ENVIRONMENT} PACKAGE --dev, then envman shell --dev; for all: envman add ${ENVMAN_SHELL-ENVIRONMENT} PACKAGE --build" ;;
esac
printf '%s\n' "envman: '$name' is not installed in the environment '${ENVMAN_SHELL-}', and no other interpreter's runs here." "  $remedy" >&2
exit 127
