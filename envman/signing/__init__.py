"""Who may sign: the policy of a host, and OpenSSH's signatures, made and checked by ssh-keygen(1)."""
