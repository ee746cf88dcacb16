"""A function that needs what isn't everywhere. In a module of its own, for all imports of a module count."""


def imports() -> str:
    import paramiko

    return str(paramiko.__version__)
