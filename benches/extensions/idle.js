// An extension with a master's side and nothing to do.
'use strict';

exports.configure = () => {};
