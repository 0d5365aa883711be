class AccessLog:
    pass
