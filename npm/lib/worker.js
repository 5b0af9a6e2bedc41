// The public name of this module, as JS luster has it.
module.exports = require('./worker/worker');
